//! The bucket of the page: the files of `web/` in this repository.

use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use http::{Request, Response, StatusCode};
use sha2::{Digest, Sha256};

/// The files of the page. A change of a file shows at once.
pub struct Page(Option<PathBuf>);

impl Page {
    /// A bucket without files.
    pub fn empty() -> Self {
        Self(None)
    }

    pub fn in_folder(folder: PathBuf) -> Self {
        Self(Some(folder))
    }

    /// Answers as S3 does with origin access control: 403 for a file that does not exist.
    pub fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let Some((content_type, file)) = self.read(request.uri().path()) else {
            let mut response = Response::new(Bytes::from_static(b"There is no such file.\n"));
            *response.status_mut() = StatusCode::FORBIDDEN;
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            return response;
        };
        let etag = format!("\"{:.32}\"", hex(&Sha256::digest(&file)));
        let is_known = request.headers().get(IF_NONE_MATCH).is_some_and(|known| *known == *etag);
        let mut response = Response::new(if is_known { Bytes::new() } else { file.into() });
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Ok(etag) = etag.parse() {
            response.headers_mut().insert(ETAG, etag);
        }
        response
    }

    fn read(&self, path: &str) -> Option<(&'static str, Vec<u8>)> {
        let name = match path.strip_prefix('/')? {
            // DefaultRootObject
            "" => "index.html",
            name => name,
        };
        let path = Path::new(name);
        let is_below = path.components().all(|part| matches!(part, Component::Normal(_)));
        let content_type = content_type(path).filter(|_| is_below)?;
        Some((content_type, std::fs::read(self.0.as_ref()?.join(path)).ok()?))
    }
}

/// The content type that `aws s3 sync` gives a file. `None` for files that are not uploaded.
fn content_type(path: &Path) -> Option<&'static str> {
    Some(match path.extension()?.to_str()? {
        "html" => "text/html",
        "js" => "text/javascript",
        "css" => "text/css",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        _ => return None,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(page: &Page, path: &str, if_none_match: Option<&HeaderValue>) -> Response<Bytes> {
        let mut request = Request::builder().uri(path).body(Bytes::new()).unwrap();
        if let Some(value) = if_none_match {
            request.headers_mut().insert(IF_NONE_MATCH, value.clone());
        }
        page.answer(&request)
    }

    #[test]
    fn only_files_below_the_folder_are_served() {
        let folder = tempfile::tempdir().unwrap();
        let web = folder.path().join("web");
        std::fs::create_dir_all(web.join("js")).unwrap();
        for (name, text) in
            [("web/index.html", "<p>"), ("web/js/a.js", "1"), ("web/notes.md", "x"), ("secret.json", "{}")]
        {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let page = Page::in_folder(web);
        for (path, expected) in [
            ("/", Some("text/html")),
            ("/index.html", Some("text/html")),
            ("/js/a.js", Some("text/javascript")),
            ("/js", None),
            ("/notes.md", None),
            ("/../secret.json", None),
            ("/js/../../secret.json", None),
            ("/%2e%2e/secret.json", None),
            ("//etc/passwd.json", None),
            ("/missing.html", None),
        ] {
            let response = get(&page, path, None);
            assert_eq!(response.status() == 200, expected.is_some(), "{path}");
            assert_eq!(response.headers()[CONTENT_TYPE], expected.unwrap_or("text/plain"), "{path}");
        }
        let etag = get(&page, "/", None).headers()[ETAG].clone();
        assert_eq!(get(&page, "/", Some(&etag)).status(), 304);
        assert_eq!(get(&Page::empty(), "/", None).status(), 403);
    }
}
