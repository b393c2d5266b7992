//! `bom.cdx.json`: the bill of materials of a release, in the format of CycloneDX 1.6
//! (<https://cyclonedx.org/docs/1.6/json/>).
//!
//! It has no serial number and no time, because both would differ in each build. The format requires neither.

use serde_json::{Value, json};

use super::packages::{Id, NpmPackage, Package};
use crate::VERSION;

const NAME: &str = "cognito-user-events";

/// `rust`: the version of the compiler, whose standard library is in every binary.
pub fn bom(packages: &[Package], npm_packages: &[NpmPackage], rust: &str) -> String {
    let std = format!("rust-std@{rust}");
    let mut components: Vec<Value> = packages.iter().map(component).collect();
    components.extend(npm_packages.iter().map(|package| {
        json!({
            "type": "library",
            "bom-ref": npm_ref(&package.id),
            "name": package.id.0,
            "version": package.id.1,
            "scope": "required",
            "licenses": [{ "expression": package.license }],
            "purl": npm_ref(&package.id),
        })
    }));
    components.push(json!({
        "type": "library",
        "bom-ref": std,
        "name": "rust-std",
        "version": rust,
        "description": "The standard library of Rust",
        "scope": "required",
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
    }));
    let own = packages.iter().filter(|package| package.checksum.is_none());
    let mut direct: Vec<String> = own.map(|package| cargo_ref(&package.id)).collect();
    direct.extend(npm_packages.iter().map(|package| npm_ref(&package.id)));
    direct.push(std.clone());
    let mut dependencies = vec![json!({ "ref": NAME, "dependsOn": direct }), json!({ "ref": std })];
    for package in packages {
        let depends_on: Vec<String> = package.dependencies.iter().map(cargo_ref).collect();
        dependencies.push(json!({ "ref": cargo_ref(&package.id), "dependsOn": depends_on }));
    }
    for package in npm_packages {
        let depends_on: Vec<String> = package.dependencies.iter().map(npm_ref).collect();
        dependencies.push(json!({ "ref": npm_ref(&package.id), "dependsOn": depends_on }));
    }
    let bom = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "lifecycles": [{ "phase": "build" }],
            "tools": { "components": [{ "type": "application", "name": "cargo xtask dist", "version": VERSION }] },
            "component": {
                "type": "application",
                "bom-ref": NAME,
                "name": NAME,
                "version": VERSION,
                "licenses": [{ "expression": "Apache-2.0" }],
            },
        },
        "components": components,
        "dependencies": dependencies,
    });
    format!("{bom:#}\n")
}

fn component(package: &Package) -> Value {
    let (name, version) = &package.id;
    let mut component = json!({
        "type": "library",
        "bom-ref": cargo_ref(&package.id),
        "name": name,
        "version": version,
        "scope": if package.is_linked { "required" } else { "excluded" },
        "licenses": [{ "expression": package.license }],
    });
    // A package of this workspace is not on crates.io.
    if let Some(checksum) = &package.checksum {
        component["purl"] = json!(cargo_ref(&package.id));
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    component
}

/// The package URL of crates.io, which is also the reference inside the document. A `+` of a version is escaped.
fn cargo_ref((name, version): &Id) -> String {
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

fn npm_ref((name, version): &Id) -> String {
    format!("pkg:npm/{name}@{version}")
}
