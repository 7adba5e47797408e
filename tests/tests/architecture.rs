//! The crates depend on each other, and on the three large libraries, the way docs/architecture.md says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// What each crate of the workspace may depend on, tests and build scripts aside.
const MAY_USE: &[(&str, &[&str])] = &[
    ("kiln-proto", &[]),
    ("kiln-store", &["kiln-proto"]),
    ("kiln-shard-manager", &["kiln-proto", "kiln-store"]),
    ("kiln-client", &["kiln-proto"]),
    ("kiln-executor", &["kiln-proto", "kiln-store", "kiln-client"]),
    (
        "kiln",
        &[
            "kiln-proto",
            "kiln-store",
            "kiln-shard-manager",
            "kiln-client",
            "kiln-executor",
        ],
    ),
    ("kiln-tests", &["kiln-proto", "kiln-client"]),
];

/// Libraries that a single crate stands on: nobody else depends on them, in tests neither.
const ONLY_IN: &[(&str, &str)] = &[
    ("openraft", "kiln-store"),
    ("rocksdb", "kiln-store"),
    ("wasmtime", "kiln-executor"),
    ("wasmtime-wasi", "kiln-executor"),
    ("wasmtime-wasi-http", "kiln-executor"),
];

/// Names that source files may use in the listed places alone: (name, folder searched, places inside it).
const NAMED_ONLY_IN: &[(&str, &str, &[&str])] = &[
    ("wasmtime", "executor/src", &["host", "component"]),
    ("openraft", "store/src", &["raft", "error.rs"]),
    ("rocksdb", "store/src", &["engine", "error.rs"]),
];

/// Names that a folder must not use at all: the store knows no wasm, the host knows no Raft.
const NEVER_NAMED: &[(&str, &str)] = &[
    ("store/src", "wasm"),
    ("executor/src/host", "kiln_store"),
    ("executor/src/component", "kiln_store"),
    ("executor/src/replay", "kiln_store"),
];

#[test]
fn crate_edges_point_one_way() -> Result<()> {
    let metadata = metadata()?;
    let allowed: BTreeMap<&str, BTreeSet<&str>> = MAY_USE
        .iter()
        .map(|(name, uses)| (*name, uses.iter().copied().collect()))
        .collect();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let allowed = allowed
            .get(name)
            .with_context(|| format!("{name} is missing from MAY_USE"))?;
        for used in workspace_dependencies(&metadata, package) {
            assert!(
                allowed.contains(used.as_str()),
                "{name} must not depend on {used}"
            );
        }
    }
    Ok(())
}

#[test]
fn large_libraries_have_one_user() -> Result<()> {
    let metadata = metadata()?;
    for (library, owner) in ONLY_IN {
        let users: BTreeSet<&str> = metadata
            .workspace_packages()
            .into_iter()
            .filter(|package| {
                package
                    .dependencies
                    .iter()
                    .any(|dependency| dependency.name == *library)
            })
            .map(|package| package.name.as_str())
            .collect();
        assert_eq!(users, BTreeSet::from([*owner]), "users of {library}");
    }
    Ok(())
}

#[test]
fn libraries_are_named_where_they_belong() -> Result<()> {
    for (name, folder, places) in NAMED_ONLY_IN {
        let folder = root().join(folder);
        let elsewhere: Vec<PathBuf> = files_naming(&folder, name)?
            .into_iter()
            .filter(|file| !places.iter().any(|place| file.starts_with(place)))
            .collect();
        assert!(
            elsewhere.is_empty(),
            "{name} is named in {}: {elsewhere:?}",
            folder.display()
        );
    }
    Ok(())
}

#[test]
fn lower_layers_do_not_name_upper_ones() -> Result<()> {
    for (folder, name) in NEVER_NAMED {
        let folder = root().join(folder);
        let files = files_naming(&folder, name)?;
        assert!(
            files.is_empty(),
            "{name} is named in {}: {files:?}",
            folder.display()
        );
    }
    Ok(())
}

/// The scan itself finds what it looks for, or the two tests above could not fail.
#[test]
fn the_scan_sees_code_and_no_comments() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("code.rs"), "use wasmtime::Engine;\n")?;
    fs::write(
        folder.path().join("comment.rs"),
        "//! Knows no wasmtime.\nfn f() {} // wasmtime\n",
    )?;
    fs::write(folder.path().join("longer.rs"), "let wasmtimer = 1;\n")?;
    assert_eq!(
        files_naming(folder.path(), "wasmtime")?,
        [PathBuf::from("code.rs")]
    );
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn metadata() -> Result<Metadata> {
    let command = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec();
    command.context("cargo metadata")
}

fn workspace_dependencies(metadata: &Metadata, package: &Package) -> BTreeSet<String> {
    let members: BTreeSet<&str> = metadata
        .workspace_packages()
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal)
        .map(|dependency| dependency.name.clone())
        .filter(|name| members.contains(name.as_str()))
        .collect()
}

/// Source files under `folder` that use `name` as a whole identifier outside of comments, relative to it.
fn files_naming(folder: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("read {}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && names(&path, name)? {
                found.push(path.strip_prefix(folder)?.to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn names(file: &Path, name: &str) -> Result<bool> {
    let text = fs::read_to_string(file)?;
    Ok(text
        .lines()
        .filter_map(|line| line.split("//").next())
        .any(|code| {
            code.split(|c: char| !(c.is_alphanumeric() || c == '_'))
                .any(|word| word == name)
        }))
}
