use std::path::{Path, PathBuf};

use figment::{
    Error as FigmentError, Figment, Metadata, Profile, Provider,
    providers::{Env, Format, Serialized, Toml},
    value::{Dict, Map, Value},
};

use super::{Config, Problems};

/// Values given as flags: `section.key` and value.
#[derive(Debug, Default)]
pub(crate) struct Flags(pub(crate) Vec<(&'static str, Value)>);

/// A configuration with its layers, which know where each value came from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    layers: Figment,
}

/// Puts the layers together.
///
/// # Errors
/// All problems at once: unknown keys with a suggestion, values of the wrong type, values that make no sense.
pub(crate) fn load(file: Option<&Path>, flags: Flags) -> Result<Loaded, Problems> {
    if let Some(file) = file.filter(|file| !file.is_file()) {
        return Err(Problems(vec![format!(
            "{}: there is no such file",
            file.display()
        )]));
    }
    load_with(file.map(Path::to_owned), environment(), flags)
}

fn load_with(file: Option<PathBuf>, environment: Env, flags: Flags) -> Result<Loaded, Problems> {
    let defaults = Figment::from(Serialized::defaults(Config::default()));
    let mut layers = defaults.clone();
    if let Some(file) = file {
        layers = layers.merge(Toml::file_exact(file));
    }
    layers = layers.merge(environment).merge(flags);
    let known = leaves(&defaults)?;
    let given = leaves(&layers)?;
    let mut problems: Vec<String> = Vec::new();
    for (key, value) in &given {
        if known.iter().any(|(known, _)| known == key) {
            // On top of the defaults alone, so that each wrong value shows itself.
            let alone = defaults.clone().merge(Serialized::default(key, value));
            if let Err(error) = alone.extract::<Config>() {
                let from = source(&layers, key);
                problems.extend(
                    error
                        .into_iter()
                        .map(|error| format!("{key}: {} (from {from})", error.kind)),
                );
            }
        } else {
            problems.push(unknown(key, &known, &source(&layers, key)));
        }
    }
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let config: Config = layers.extract().map_err(describe_all)?;
    match config.problems() {
        problems if problems.is_empty() => Ok(Loaded { config, layers }),
        problems => Err(Problems(problems)),
    }
}

/// `KILN_NODE__LISTEN` sets `node.listen`. Other variables of that prefix, as `KILN_ENDPOINT`, are no configuration.
fn environment() -> Env {
    Env::prefixed("KILN_")
        .filter(|key| key.as_str().contains("__"))
        .split("__")
}

impl Loaded {
    /// True when nobody has set the value of `section.key`.
    pub(crate) fn is_default(&self, key: &str) -> bool {
        source(&self.layers, key) == DEFAULT
    }

    /// All values, as `section.key`, in alphabetical order, with their source.
    pub(crate) fn values(&self) -> Vec<(String, Value, String)> {
        let leaves = leaves(&self.layers).unwrap_or_default();
        leaves
            .into_iter()
            .map(|(key, value)| {
                let source = source(&self.layers, &key);
                (key, value, source)
            })
            .collect()
    }
}

/// Where a value came from, for people.
fn source(layers: &Figment, key: &str) -> String {
    let Some(metadata) = layers.find_metadata(key) else {
        return DEFAULT.to_owned();
    };
    if let Some(file) = metadata.source.as_ref().and_then(figment::Source::file_path) {
        return file.display().to_string();
    }
    if metadata.name.contains("environment") {
        return format!("KILN_{}", key.replace('.', "__").to_uppercase());
    }
    if metadata.name == FLAG {
        FLAG.to_owned()
    } else {
        "default".to_owned()
    }
}

const FLAG: &str = "flag";
const DEFAULT: &str = "default";

impl Provider for Flags {
    fn metadata(&self) -> Metadata {
        Metadata::named(FLAG)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, FigmentError> {
        let mut sections = Dict::new();
        for (key, value) in &self.0 {
            let (section, name) = key.split_once('.').unwrap_or(("", key));
            let section = sections
                .entry(section.to_owned())
                .or_insert_with(|| Dict::new().into());
            if let Value::Dict(_, section) = section {
                section.insert(name.to_owned(), value.clone());
            }
        }
        Ok(Profile::Default.collect(sections))
    }
}

/// `section.key` and value of everything that is set.
fn leaves(figment: &Figment) -> Result<Vec<(String, Value)>, Problems> {
    let all: Value = figment.extract().map_err(describe_all)?;
    let mut leaves = Vec::new();
    collect("", all, &mut leaves);
    Ok(leaves)
}

fn collect(prefix: &str, value: Value, into: &mut Vec<(String, Value)>) {
    match value {
        Value::Dict(_, dict) => {
            for (name, value) in dict {
                let key = if prefix.is_empty() {
                    name
                } else {
                    format!("{prefix}.{name}")
                };
                collect(&key, value, into);
            }
        }
        value => into.push((prefix.to_owned(), value)),
    }
}

fn unknown(key: &str, known: &[(String, Value)], from: &str) -> String {
    let nearest = known
        .iter()
        .map(|(known, _)| (strsim::jaro_winkler(key, known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(similarity, _)| *similarity > 0.8);
    match nearest {
        Some((_, nearest)) => format!("{key}: unknown key (from {from}); did you mean {nearest}?"),
        None => format!("{key}: unknown key (from {from})"),
    }
}

fn describe_all(error: FigmentError) -> Problems {
    Problems(error.into_iter().map(|error| error.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn load_text(text: &str, flags: Flags) -> Result<Loaded, Problems> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("kiln.toml");
        fs::write(&file, text).expect("written");
        load_with(Some(file), Env::raw().only(&[]), flags)
    }

    #[test]
    fn later_layers_win_and_say_so() {
        let text = "[node]\nlisten = \"0.0.0.0:1\"\nname = \"a\"\n[storage]\nblock_cache = \"1GiB\"";
        let loaded = load_text(text, Flags(vec![("node.listen", "127.0.0.1:2".into())])).expect("valid");
        assert_eq!(loaded.config.node.listen, "127.0.0.1:2");
        assert_eq!(loaded.config.node.name, "a");
        assert_eq!(loaded.config.storage.block_cache.0, 1 << 30);
        let source = |key: &str| {
            let values = loaded.values();
            values
                .iter()
                .find(|(name, ..)| name == key)
                .map(|(_, _, source)| source.clone())
        };
        assert_eq!(source("node.listen").as_deref(), Some("flag"));
        assert!(source("node.name").is_some_and(|source| source.ends_with("kiln.toml")));
        assert_eq!(source("log.level").as_deref(), Some("default"));
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let text = "[node]\nlisen = \"x\"\nrole = \"king\"\n[raft]\nheartbeat = \"soon\"";
        let problems = load_text(text, Flags::default()).expect_err("three problems").0;
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(
            problems.iter().any(|p| p.contains("did you mean node.listen?")),
            "{problems:?}"
        );
        assert!(
            problems.iter().any(|p| p.starts_with("node.role:")),
            "{problems:?}"
        );
        assert!(
            problems
                .iter()
                .any(|p| p.starts_with("raft.heartbeat:") && p.contains("10s")),
            "{problems:?}"
        );
    }

    #[test]
    fn values_must_make_sense_together() {
        let text = "[node]\nrole = \"executor\"\n[raft]\nelection_max = \"1ms\"";
        let problems = load_text(text, Flags::default()).expect_err("two problems").0;
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
