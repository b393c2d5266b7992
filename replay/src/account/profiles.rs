//! The profiles of the AWS configuration, with every name that the AWS CLI accepts.
//!
//! The SDK ignores a section whose name has quotes, spaces or other characters than letters, digits and
//! `_-/.%@:+`. So it gets the contents of the files with such names percent-encoded. The rules for
//! names are those of botocore's `configloader.py`: `[profile NAME]` is split as in a shell, and a name in
//! the credentials file is used as it is.

use std::borrow::Cow;
use std::io::ErrorKind;

use anyhow::{Context, Result};
use aws_config::profile::{Profile, ProfileSet};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_runtime::fs_util::{Os, home_dir};
use aws_types::os_shim_internal::{Env, Fs};
use shared::config::Environment;

/// The files, with the variables that name other ones.
const FILES: [(EnvConfigFileKind, &str, &str); 2] = [
    (EnvConfigFileKind::Config, "AWS_CONFIG_FILE", "~/.aws/config"),
    (EnvConfigFileKind::Credentials, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
];
/// Settings whose value is the name of a section.
const REFERENCES: [&str; 3] = ["source_profile", "sso_session", "services"];

#[derive(Clone, Debug)]
pub struct Profiles {
    contents: Vec<(EnvConfigFileKind, String)>,
    set: ProfileSet,
}

impl Profiles {
    /// Reads the files. A file that does not exist is empty. Errors name the file.
    pub async fn read(environment: &Environment) -> Result<Self> {
        let mut contents = Vec::new();
        for (kind, variable, default) in FILES {
            let path = environment.optional(variable).unwrap_or(default);
            let home = || home_dir(&Env::real(), Os::real()).unwrap_or_default();
            let path =
                path.strip_prefix("~/").map_or_else(|| path.to_owned(), |rest| format!("{}/{rest}", home()));
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    let content = (kind, with_sdk_names(kind, &text));
                    // The parser names no file.
                    Self::parse(vec![content.clone()]).await.context(path)?;
                    contents.push(content);
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).context(path),
            }
        }
        Self::parse(contents).await
    }

    async fn parse(contents: Vec<(EnvConfigFileKind, String)>) -> Result<Self> {
        let files = to_files(&contents);
        let set = aws_config::profile::load(&Fs::real(), &Env::real(), &files, None).await;
        Ok(Self { contents, set: set.context("AWS configuration")? })
    }

    /// The same with one more section of the configuration, whose settings override earlier ones.
    pub async fn with_section(&self, name: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let settings = settings.iter().map(|(name, value)| format!("{name} = {value}\n"));
        let section = format!("[profile {name}]\n{}", settings.collect::<String>());
        let mut contents = self.contents.clone();
        contents.push((EnvConfigFileKind::Config, section));
        Self::parse(contents).await
    }

    /// The contents for the SDK.
    pub fn files(&self) -> EnvConfigFiles {
        to_files(&self.contents)
    }

    /// A profile by the name that the SDK has for it.
    pub fn get(&self, sdk_name: &str) -> Option<&Profile> {
        self.set.get_profile(sdk_name)
    }
}

fn to_files(contents: &[(EnvConfigFileKind, String)]) -> EnvConfigFiles {
    // The builder panics without a file.
    let files = EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, "");
    contents.iter().fold(files, |files, (kind, text)| files.with_contents(*kind, text.as_str())).build()
}

/// The name that the SDK has for a profile: `with space` becomes `with%20space`.
pub fn sdk_name(name: &str) -> Cow<'_, str> {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_-/.%@:+".contains(&byte);
    if name.bytes().all(is_valid) {
        return name.into();
    }
    let encode =
        |byte: u8| if is_valid(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(encode).collect::<String>().into()
}

/// The text of a file with the names that the SDK accepts, and without the byte order mark that some
/// editors write.
fn with_sdk_names(kind: EnvConfigFileKind, text: &str) -> String {
    text.strip_prefix('\u{feff}')
        .unwrap_or(text)
        .lines()
        .map(|line| rewrite_line(kind, line).into_owned() + "\n")
        .collect()
}

fn rewrite_line(kind: EnvConfigFileKind, line: &str) -> Cow<'_, str> {
    if let Some((name, rest)) = line.strip_prefix('[').and_then(|line| line.rsplit_once(']')) {
        let rest = rest.trim();
        if rest.is_empty() || rest.starts_with(['#', ';']) {
            return rewrite_section(kind, name).map_or(line.into(), Cow::from);
        }
    }
    match line.split_once('=') {
        // An indented line belongs to the setting before it.
        Some((name, value))
            if !line.starts_with([' ', '\t'])
                && REFERENCES.contains(&name.trim().to_lowercase().as_str()) =>
        {
            format!("{} = {}", name.trim(), sdk_name(without_comment(value).trim())).into()
        }
        _ => line.into(),
    }
}

/// The section with the name that the SDK accepts. `None` if the AWS CLI also ignores the section.
fn rewrite_section(kind: EnvConfigFileKind, section: &str) -> Option<String> {
    if matches!(kind, EnvConfigFileKind::Credentials) {
        return Some(format!("[{}]", sdk_name(section.trim())));
    }
    match shlex::split(section)?.as_slice() {
        [prefix, name] => Some(format!("[{prefix} {}]", sdk_name(name))),
        _ => None,
    }
}

/// For the SDK, a comment begins after a space.
fn without_comment(value: &str) -> &str {
    let comment = value.find(" #").into_iter().chain(value.find(" ;")).min();
    comment.and_then(|start| value.get(..start)).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_names_are_those_of_the_aws_cli() {
        for (line, expected) in [
            ("[default]", "[default]"),
            ("[profile ops]", "[profile ops]"),
            ("[profile 'x']", "[profile x]"),
            ("[profile \"with space\"]  # comment", "[profile with%20space]"),
            ("[profile ana&co]", "[profile ana%26co]"),
            ("[profile \"\u{e9}\"]", "[profile %C3%A9]"),
            ("[sso-session \"my sso\"]", "[sso-session my%20sso]"),
            ("[profile two words]", "[profile two words]"),
            ("[profile \"open]", "[profile \"open]"),
            ("source_profile = with space  # comment", "source_profile = with%20space"),
            ("Source_Profile=ops", "Source_Profile = ops"),
            (
                "role_arn = arn:aws:iam::123456789012:role/a b",
                "role_arn = arn:aws:iam::123456789012:role/a b",
            ),
            ("  source_profile = a b", "  source_profile = a b"),
            ("# [profile \"x y\"]", "# [profile \"x y\"]"),
        ] {
            assert_eq!(rewrite_line(EnvConfigFileKind::Config, line), expected);
        }
        for (line, expected) in
            [("[ops]", "[ops]"), ("[with space]", "[with%20space]"), ("['x']", "[%27x%27]")]
        {
            assert_eq!(rewrite_line(EnvConfigFileKind::Credentials, line), expected);
        }
    }

    #[tokio::test]
    async fn later_section_overrides_settings() {
        let contents =
            vec![(EnvConfigFileKind::Config, "[profile a]\nregion = x\nrole_arn = y\n".to_owned())];
        let profiles = Profiles::parse(contents).await.unwrap();
        let profiles = profiles.with_section("a", &[("region", "z")]).await.unwrap();
        let profile = profiles.get("a").unwrap();
        assert_eq!((profile.get("region"), profile.get("role_arn")), (Some("z"), Some("y")));
        assert!(Profiles::parse(Vec::new()).await.unwrap().get("default").is_none());
    }

    #[tokio::test]
    async fn byte_order_mark_is_ignored_and_an_error_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let read = async |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let path = path.to_str().unwrap().to_owned();
            let other = folder.path().join("none").to_str().unwrap().to_owned();
            let files = [("AWS_CONFIG_FILE", path), ("AWS_SHARED_CREDENTIALS_FILE", other)];
            Profiles::read(&files.into_iter().collect()).await
        };
        let profiles = read("config", "\u{feff}[default]\nregion = eu-west-1\n").await.unwrap();
        assert_eq!(profiles.get("default").unwrap().get("region"), Some("eu-west-1"));
        let error = format!("{:#}", read("broken", "[default\nregion = eu-west-1\n").await.unwrap_err());
        assert!(error.contains("/broken: "), "{error}");
    }
}
