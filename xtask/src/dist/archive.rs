//! Archives and checksums. The same files give the same bytes: names are sorted, and times, owners and modes are fixed.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc, GzBuilder};
use sha2::{Digest, Sha256};

/// The file with the checksums, in the format of `sha256sum`.
pub const SUMS: &str = "SHA256SUMS";

/// The name of the only file in the zip file of a function.
const BOOTSTRAP: &[u8] = b"bootstrap";

/// A zip file as Lambda takes it for `provided.al2023`: the executable `bootstrap` and nothing else.
///
/// The format is described in <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>, sections 4.3.7, 4.3.12
/// and 4.3.16. The time is 1980-01-01, the first one that the format has. A crate that writes zip files would turn on
/// features of `syn` and `zeroize` for all packages of the workspace.
pub fn function(binary: &[u8]) -> Result<Vec<u8>> {
    const VERSION: u16 = 20; // deflate
    const MADE_ON_UNIX: u16 = 3 << 8 | VERSION;
    const NO_FLAGS: u16 = 0;
    const DEFLATE: u16 = 8;
    const TIME: u16 = 0;
    const DATE: u16 = 1 << 5 | 1;
    const EXECUTABLE_FILE: u32 = 0o100_755 << 16;

    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(binary)?;
    let data = encoder.finish()?;
    let mut checksum = Crc::new();
    checksum.update(binary);
    let (size, compressed) = (u32::try_from(binary.len())?, u32::try_from(data.len())?);

    // These fields are the same in both headers of the file.
    let mut fields = Vec::new();
    for number in [VERSION, NO_FLAGS, DEFLATE, TIME, DATE] {
        fields.extend(number.to_le_bytes());
    }
    for number in [checksum.sum(), compressed, size] {
        fields.extend(number.to_le_bytes());
    }
    fields.extend((BOOTSTRAP.len() as u16).to_le_bytes());
    fields.extend(0_u16.to_le_bytes()); // No extra field.

    let local_header = [b"PK\x03\x04", &fields[..], BOOTSTRAP].concat();
    let mut directory = [b"PK\x01\x02", &MADE_ON_UNIX.to_le_bytes()[..], &fields].concat();
    directory.extend([0; 6]); // No comment, disk 0, internal attributes.
    directory.extend(EXECUTABLE_FILE.to_le_bytes());
    directory.extend(0_u32.to_le_bytes()); // The local header is at the start.
    directory.extend(BOOTSTRAP);

    let mut end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0".to_vec(); // Disk 0 has one entry of one.
    end.extend((directory.len() as u32).to_le_bytes());
    end.extend(u32::try_from(local_header.len() + data.len())?.to_le_bytes());
    end.extend(0_u16.to_le_bytes()); // No comment.
    Ok([local_header, data, directory, end].concat())
}

/// Writes `<folder>.tar.gz` with all files of a folder, next to the folder. Names begin with the folder's name.
///
/// A file is executable if `executables` has its path below the folder.
pub fn tar_gz(folder: &Path, executables: &[&str]) -> Result<PathBuf> {
    let name = folder.file_name().context("the folder has no name")?;
    let path = folder.with_file_name(format!("{}.tar.gz", name.to_string_lossy()));
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    // Without the name of the file, and with the time 0: gzip's header would differ.
    let compressed = GzBuilder::new().mtime(0).write(file, Compression::best());
    let mut archive = tar::Builder::new(compressed);
    for file in files(folder)? {
        let bytes = std::fs::read(folder.join(&file)).with_context(|| file.display().to_string())?;
        let is_executable = executables.iter().any(|executable| Path::new(executable) == file);
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(if is_executable { 0o755 } else { 0o644 });
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        archive.append_data(&mut header, Path::new(name).join(&file), bytes.as_slice())?;
    }
    archive.into_inner()?.finish()?.sync_all()?;
    Ok(path)
}

/// Writes [`SUMS`] for all other files of a folder.
pub fn write_sums(folder: &Path) -> Result<()> {
    let mut sums = String::new();
    for file in files(folder)?.iter().filter(|file| file.as_path() != Path::new(SUMS)) {
        sums += &sum_line(folder, file)?;
    }
    let path = folder.join(SUMS);
    std::fs::write(&path, sums).with_context(|| path.display().to_string())
}

/// The line of a file in [`SUMS`].
pub fn sum_line(folder: &Path, file: &Path) -> Result<String> {
    let bytes = std::fs::read(folder.join(file)).with_context(|| file.display().to_string())?;
    let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{sum}  {}\n", file.display()))
}

/// The files below a folder, sorted, with paths that begin below it.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder)?.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Tool;

    /// The files of a zip file as Python reads them: name, Unix mode, time and content.
    fn read_by_python(archive: &Path) -> String {
        let program = "import sys, zipfile\n\
                       archive = zipfile.ZipFile(sys.argv[1])\n\
                       for file in archive.infolist():\n    \
                           print(file.filename, oct(file.external_attr >> 16), file.date_time, archive.read(file))";
        let path = archive.to_string_lossy().into_owned();
        String::from_utf8(Tool::new("python3", &["-c", program, &path]).output().unwrap()).unwrap()
    }

    #[test]
    fn zip_of_a_function_has_one_executable_file_without_the_current_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("function.zip");
        for binary in [&b"a binary, a binary"[..], b""] {
            let bytes = function(binary).unwrap();
            assert_eq!(bytes, function(binary).unwrap());
            std::fs::write(&path, bytes).unwrap();
            let content = String::from_utf8_lossy(binary);
            assert_eq!(
                read_by_python(&path),
                format!("bootstrap 0o100755 (1980, 1, 1, 0, 0, 0) b'{content}'\n")
            );
        }
    }

    #[test]
    fn archive_of_a_folder_depends_only_on_names_and_contents() {
        let archive = |names: &[&str]| {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join("replay-1");
            for name in names {
                let path = folder.join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, name).unwrap();
            }
            std::fs::read(tar_gz(&folder, &["replay"]).unwrap()).unwrap()
        };
        let bytes = archive(&["replay", "man/replay.1"]);
        assert_eq!(bytes, archive(&["man/replay.1", "replay"]));
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let entries: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let header = entry.unwrap().header().clone();
                let name = header.path().unwrap().display().to_string();
                (name, header.mode().unwrap(), header.mtime().unwrap(), header.uid().unwrap())
            })
            .collect();
        assert_eq!(
            entries,
            [("replay-1/man/replay.1".to_owned(), 0o644, 0, 0), ("replay-1/replay".to_owned(), 0o755, 0, 0)]
        );
    }

    #[test]
    fn sums_have_the_format_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("page")).unwrap();
        std::fs::write(folder.path().join("page/index.html"), "").unwrap();
        std::fs::write(folder.path().join("LICENSE"), "abc").unwrap();
        for _ in 0..2 {
            write_sums(folder.path()).unwrap();
            let sums = std::fs::read_to_string(folder.path().join(SUMS)).unwrap();
            assert_eq!(
                sums,
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  LICENSE\n\
                 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  page/index.html\n"
            );
        }
    }
}
