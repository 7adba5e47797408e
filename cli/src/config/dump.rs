use figment::value::Value;
use serde_json::{Map, Value as Json, json};

use super::Loaded;

/// The effective configuration as TOML, each value with its source in a comment.
pub(crate) fn to_toml(loaded: &Loaded) -> String {
    let mut lines = Vec::new();
    let mut section = String::new();
    for (key, value, source) in loaded.values() {
        let (in_section, name) = key.split_once('.').unwrap_or(("", &key));
        if in_section != section {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            lines.push(format!("[{in_section}]"));
            in_section.clone_into(&mut section);
        }
        // TOML's strings, numbers and lists of strings look as in JSON.
        lines.push(format!("{name} = {}  # {source}", plain(&value)));
    }
    lines.join("\n")
}

/// The effective configuration as JSON: `{"section.key": {"value", "source"}}`.
pub(crate) fn to_json(loaded: &Loaded) -> Json {
    let values: Map<String, Json> = loaded
        .values()
        .into_iter()
        .map(|(key, value, source)| (key, json!({"value": plain(&value), "source": source})))
        .collect();
    values.into()
}

fn plain(value: &Value) -> Json {
    serde_json::to_value(value).unwrap_or(Json::Null)
}
