//! The contents of a release: which files it has, and where they come from.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::archive;
use super::bom;
use super::build;
use super::build::Architecture;
use super::licenses;
use super::packaged;
use super::packages;
use crate::command::Tool;
use crate::template::Template;
use crate::{VERSION, repository_root};

/// The page, as `aws s3 sync` uploads it.
const PAGE: &str = "web";
/// The Terraform module, and its files.
const TERRAFORM: &str = "deploy/terraform";
const TERRAFORM_FILES: [&str; 3] = ["main.tf", "outputs.tf", "variables.tf"];

pub const BOM: &str = "bom.cdx.json";
const LICENSES: &str = "THIRD-PARTY-LICENSES";

/// The shells for which `replay completions` writes a file, with the name that each expects.
const COMPLETIONS: [(&str, &str); 3] = [("bash", "replay.bash"), ("zsh", "_replay"), ("fish", "replay.fish")];

/// Writes everything that does not depend on a build.
pub fn write_common(folder: &Path, architectures: &[Architecture]) -> Result<()> {
    let root = repository_root();
    for file in archive::files(&root.join(PAGE))? {
        if file.extension().is_none_or(|extension| extension != "md") {
            write(&folder.join("page").join(&file), &read(&root.join(PAGE).join(&file))?)?;
        }
    }
    for file in TERRAFORM_FILES {
        write(&folder.join("terraform").join(file), &read(&root.join(TERRAFORM).join(file))?)?;
    }
    let template = std::fs::read_to_string(root.join("template.yaml")).context("template.yaml")?;
    for architecture in architectures {
        let packaged = packaged::template(&template, *architecture)?;
        write(&folder.join(template_name(*architecture)), packaged.as_bytes())?;
    }
    write(&folder.join("samconfig.toml"), sam_configuration(default_architecture(architectures)).as_bytes())?;
    write(&folder.join("README.md"), readme(architectures).as_bytes())?;
    write(&folder.join("LICENSE"), &read(&root.join("LICENSE"))?)
}

/// Writes the bill of materials and the licenses of what the binaries contain.
pub fn write_bom(folder: &Path) -> Result<()> {
    let packages = packages::packages()?;
    let bom = bom::bom(&packages, &packages::npm_packages()?, &build::rust_version()?);
    write(&folder.join(BOM), bom.as_bytes())?;
    write(&folder.join(LICENSES), licenses::licenses(&packages, &build::sysroot()?)?.as_bytes())
}

/// Writes a zip file for each function of `template.yaml`.
pub fn write_functions(
    folder: &Path,
    architecture: Architecture,
    binary: impl Fn(&str) -> Result<Vec<u8>>,
) -> Result<()> {
    for function in Template::read().functions().into_keys() {
        let path = folder.join(packaged::zip_path(architecture, function));
        write(&path, &archive::function(&binary(function)?)?)?;
    }
    Ok(())
}

/// Writes `replay` and the pages and completions that it prints.
pub fn write_replay(folder: &Path, binary: &[u8]) -> Result<()> {
    let program = folder.join("replay");
    write(&program, binary)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let program = program.to_string_lossy().into_owned();
    write(&folder.join("LICENSE"), &read(&repository_root().join("LICENSE"))?)?;
    let licenses = licenses::licenses(&packages::packages()?, &build::sysroot()?)?;
    write(&folder.join(LICENSES), licenses.as_bytes())?;
    let pages = folder.join("man/man1").to_string_lossy().into_owned();
    Tool::new(&program, &["man", "--out", &pages]).output()?;
    for (shell, name) in COMPLETIONS {
        let script = Tool::new(&program, &["completions", shell]).output()?;
        write(&folder.join("completions").join(name), &script)?;
    }
    Ok(())
}

fn template_name(architecture: Architecture) -> String {
    format!("template-{architecture}.yaml")
}

/// The processor that `sam deploy` uses without options: the default of `template.yaml`, if the folder has it.
fn default_architecture(architectures: &[Architecture]) -> Architecture {
    if architectures.contains(&Architecture::Arm64) { Architecture::Arm64 } else { Architecture::X86_64 }
}

fn sam_configuration(architecture: Architecture) -> String {
    let template = template_name(architecture);
    format!(
        "\
# Defaults of the SAM CLI. `sam deploy --guided` saves its answers in [default.deploy.parameters].
# The region comes from AWS_REGION, your profile or --region.
version = 0.1

[default.global.parameters]
stack_name = \"cognito-user-events\"

[default.deploy.parameters]
template_file = \"{template}\"
# The stack creates IAM roles with generated names.
capabilities = \"CAPABILITY_IAM\"
# Shows the changes and asks before it deploys them.
confirm_changeset = true
# SAM creates a bucket for the functions, and for the template, which is too large to send directly.
resolve_s3 = true
fail_on_empty_changeset = false
# If a deployment fails, CloudFormation restores the previous state.
disable_rollback = false
"
    )
}

fn readme(architectures: &[Architecture]) -> String {
    let default = default_architecture(architectures);
    let other = architectures.iter().find(|architecture| **architecture != default).map(|architecture| {
        format!(
            "The functions run on {default}.\n\
             For {architecture}, change `template_file` in `samconfig.toml` to `{}`.\n",
            template_name(*architecture)
        )
    });
    let processor = other.unwrap_or_else(|| format!("The functions run on {default}.\n"));
    format!(
        "\
# cognito-user-events {VERSION}

Everything that a deployment needs, built.
You need the SAM CLI and the AWS CLI, but no compiler.

```
sha256sum --check --quiet SHA256SUMS
sam deploy --guided
aws s3 sync page \"s3://$(aws cloudformation describe-stacks --stack-name cognito-user-events \\
  --query \"Stacks[0].Outputs[?OutputKey=='PageBucketName'].OutputValue\" --output text)\" --delete
```

The first command verifies the files, the second one creates the stack, and the third one uploads the page.
If the stack has no page of its own, leave out the third command.
{processor}
At its questions for secrets, type `none`.
`docs/deploying.md` in the repository describes the questions, and `docs/existing-user-pool.md` how to attach the triggers to a
user pool that you already have. `replay doctor --stack cognito-user-events` checks the result: `replay` is another file of the
release.

| File | Content |
|---|---|
| `template-*.yaml` | the SAM template, one for each processor. Its functions are the zip files |
| `functions/*/*.zip` | the functions |
| `samconfig.toml` | defaults of the SAM CLI, and later your answers |
| `page/` | the page |
| `terraform/` | a Terraform module, instead of the SAM CLI |
| `LICENSE` | the license of this project |
| `THIRD-PARTY-LICENSES` | the licenses of the packages in the functions |
| `bom.cdx.json` | these packages, in the format of CycloneDX |
| `SHA256SUMS` | the checksums of these files |
"
    )
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    }
    std::fs::write(path, bytes).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A release with binaries that are only their names.
    fn packed(folder: &Path) {
        write_common(folder, &Architecture::ALL).unwrap();
        for architecture in Architecture::ALL {
            write_functions(folder, architecture, |name| Ok(format!("{name} {architecture}").into_bytes()))
                .unwrap();
        }
        archive::write_sums(folder).unwrap();
    }

    #[test]
    fn templates_of_a_release_name_zip_files_that_it_has() {
        let folder = tempfile::tempdir().unwrap();
        packed(folder.path());
        for architecture in Architecture::ALL {
            let text = std::fs::read_to_string(folder.path().join(template_name(architecture))).unwrap();
            let template = ::template::Template::parse(&text).unwrap();
            let functions: Vec<_> = template.of_type("AWS::Serverless::Function").collect();
            assert_eq!(functions.len(), Template::read().functions().len());
            for (name, function) in functions {
                let path = folder.path().join(function["Properties"]["CodeUri"].as_str().unwrap());
                let binary = read(&path).unwrap();
                let resource = name.trim_end_matches("Function").to_lowercase();
                let names = Template::read().functions().into_keys().map(str::to_owned).collect::<Vec<_>>();
                let own = names.iter().find(|name| name.replace('-', "") == resource).unwrap();
                assert_eq!(binary, archive::function(format!("{own} {architecture}").as_bytes()).unwrap());
            }
        }
    }

    #[test]
    fn files_of_a_release_do_not_depend_on_when_and_where_it_is_packed() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        packed(first.path());
        packed(second.path());
        let sums = |folder: &Path| std::fs::read_to_string(folder.join(archive::SUMS)).unwrap();
        assert_eq!(sums(first.path()), sums(second.path()));
        assert_eq!(sums(first.path()).lines().count(), archive::files(first.path()).unwrap().len() - 1);
    }

    #[test]
    fn page_of_a_release_is_what_an_upload_needs() {
        let folder = tempfile::tempdir().unwrap();
        packed(folder.path());
        let files = archive::files(&folder.path().join("page")).unwrap();
        assert!(
            files.contains(&"index.html".into()) && files.contains(&"vendor/oidc-client-ts.min.js".into())
        );
        assert!(!files.contains(&"README.md".into()), "no document");
        assert_eq!(files.len() + 1, archive::files(&repository_root().join(PAGE)).unwrap().len());
    }

    #[test]
    fn samconfig_of_a_release_deploys_as_the_one_of_the_repository() {
        let settings = |text: &str| {
            let section = text.split("\n[default.deploy.parameters]").nth(1).unwrap();
            let lines = section.lines().filter(|line| line.contains(" = "));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let repository = std::fs::read_to_string(repository_root().join("samconfig.toml")).unwrap();
        for (architectures, file) in [
            (&Architecture::ALL[..], "template-arm64.yaml"),
            (&[Architecture::X86_64], "template-x86_64.yaml"),
        ] {
            let mut expected = vec![format!("template_file = \"{file}\"")];
            expected.extend(settings(&repository));
            assert_eq!(settings(&sam_configuration(default_architecture(architectures))), expected);
        }
    }
}
