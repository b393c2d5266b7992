//! `THIRD-PARTY-LICENSES`: the license texts of all packages whose code a release contains.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::packages::{Id, Package};
use crate::repository_root;

/// How the names of files begin that contain a license or a notice.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// The text of the file. `sysroot`: the Rust toolchain, whose standard library is in every binary.
pub fn licenses(packages: &[Package], sysroot: &Path) -> Result<String> {
    let standard = StandardTexts::read(sysroot)?;
    let (mut list, mut texts) = (String::new(), BTreeMap::<String, Vec<Id>>::new());
    // The packages of this workspace have the license of this project.
    for package in packages.iter().filter(|package| package.is_linked && package.checksum.is_some()) {
        let (name, version) = &package.id;
        let _ = writeln!(list, "{name} {version}: {}", package.license);
        for text in texts_of(package, &standard)? {
            texts.entry(text).or_default().push(package.id.clone());
        }
    }
    let _ = writeln!(list, "Rust's standard library: MIT OR Apache-2.0");
    let std = ("Rust's standard library".to_owned(), String::new());
    for text in [&standard.mit, &standard.apache] {
        texts.entry(text.clone()).or_default().push(std.clone());
    }
    let mut sections: Vec<(Vec<Id>, String)> = texts.into_iter().map(|(text, ids)| (ids, text)).collect();
    sections.sort();
    let mut page = format!(
        "The functions and replay contain code of these packages.\n\
         The texts of their licenses follow, each once.\n\
         The licenses of the page's library are in page/vendor.\n\n{list}"
    );
    for (ids, text) in sections {
        let names: Vec<String> =
            ids.iter().map(|(name, version)| format!("{name} {version}").trim().to_owned()).collect();
        let _ = write!(page, "\n{}\n{}\n\n{text}\n", "=".repeat(80), names.join(", "));
    }
    Ok(page)
}

/// Texts for packages that have no file with their license.
struct StandardTexts {
    apache: String,
    mit: String,
}

impl StandardTexts {
    fn read(sysroot: &Path) -> Result<Self> {
        Ok(Self {
            apache: read(&repository_root().join("LICENSE"))?,
            // Part of the compiler's component, in every profile of rustup.
            mit: read(&sysroot.join("share/doc/rust/licenses/MIT.txt"))?,
        })
    }

    fn of(&self, expression: &str) -> Option<String> {
        let has = |name: &str| expression.split(" OR ").any(|license| license == name);
        if has("Apache-2.0") {
            return Some(self.apache.clone());
        }
        has("MIT").then(|| self.mit.clone())
    }
}

/// The license texts of a package, without duplicates.
fn texts_of(package: &Package, standard: &StandardTexts) -> Result<Vec<String>> {
    let mut texts =
        license_files(&package.folder)?.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
    if texts.is_empty() {
        let Some(text) = standard.of(&package.license) else {
            let (name, version) = &package.id;
            bail!(
                "{name} {version} has no file with its license {}. Add the text to xtask/src/dist/licenses.rs",
                package.license
            );
        };
        texts.push(text);
    }
    texts.sort();
    texts.dedup();
    Ok(texts)
}

/// The files with licenses in the folder of a package, and in folders directly below: packages with C code have
/// the license of that code there.
fn license_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for (path, is_folder) in entries(folder)? {
        if is_folder {
            found.extend(
                entries(&path)?.into_iter().filter(|(_, is_folder)| !is_folder).map(|(path, _)| path),
            );
        } else {
            found.push(path);
        }
    }
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        NAMES.iter().any(|start| name.starts_with(start)) && !name.ends_with(".RS")
    });
    found.sort();
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    entries
        .map(|entry| entry.map(|entry| (entry.path(), entry.path().is_dir())).map_err(Into::into))
        .collect()
}

/// A text with the line ends of Unix.
fn read(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    let lines: Vec<&str> = text.trim_matches('\n').lines().map(str::trim_end).collect();
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, license: &str, folder: &Path) -> Package {
        Package {
            id: (name.to_owned(), "1.0.0".to_owned()),
            license: license.to_owned(),
            checksum: Some("00".to_owned()),
            folder: folder.to_owned(),
            is_linked: true,
            dependencies: Default::default(),
        }
    }

    #[test]
    fn same_text_of_several_packages_occurs_once() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        std::fs::write(folders[0].path().join("LICENSE-MIT"), "Copyright Ana\n").unwrap();
        std::fs::write(folders[1].path().join("license.txt"), "Copyright Ana\r\n\r\n").unwrap();
        std::fs::create_dir(folders[1].path().join("c-code")).unwrap();
        std::fs::write(folders[1].path().join("c-code/COPYING"), "Copyright Ben").unwrap();
        std::fs::write(folders[1].path().join("license.rs"), "fn main() {}").unwrap();
        let packages = [package("one", "MIT", folders[0].path()), package("two", "MIT", folders[1].path())];
        let sysroot = crate::dist::build::sysroot().unwrap();
        let text = licenses(&packages, &sysroot).unwrap();
        assert!(text.contains("one 1.0.0: MIT\ntwo 1.0.0: MIT\n"), "{text}");
        assert!(text.contains("\none 1.0.0, two 1.0.0\n\nCopyright Ana\n"), "{text}");
        assert!(text.contains("\ntwo 1.0.0\n\nCopyright Ben\n"), "{text}");
        assert_eq!(text.matches("Copyright Ana").count(), 1);
        assert!(!text.contains("fn main"));
    }

    #[test]
    fn package_without_a_license_file_has_the_standard_text_or_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let standard = StandardTexts { apache: "Apache".to_owned(), mit: "MIT".to_owned() };
        for (license, expected) in [
            ("Apache-2.0 OR MIT", Some("Apache")),
            ("MIT", Some("MIT")),
            ("Zlib", None),
            ("MIT AND ISC", None),
        ] {
            let found = texts_of(&package("bare", license, folder.path()), &standard);
            assert_eq!(found.ok(), expected.map(|text| vec![text.to_owned()]), "{license}");
        }
    }
}
