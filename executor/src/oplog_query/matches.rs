use kiln_proto::{
    convert::oplog::kind_name,
    v1::{OplogEntry, oplog_entry::Entry},
};

use super::{
    Query, TextTest,
    leaves::{Leaf, leaves},
};

impl Query {
    /// True when the entry contains what is searched for.
    #[must_use]
    pub fn matches(&self, entry: &OplogEntry) -> bool {
        let Some(entry) = &entry.entry else {
            return false;
        };
        self.holds(&kinds(entry), &leaves(entry))
    }

    fn holds(&self, kinds: &[String], leaves: &[Leaf]) -> bool {
        match self {
            Self::All(all) => all.iter().all(|query| query.holds(kinds, leaves)),
            Self::Any(any) => any.iter().any(|query| query.holds(kinds, leaves)),
            Self::Not(query) => !query.holds(kinds, leaves),
            Self::Text(test) => {
                let mut texts = leaves.iter().filter(|leaf| !leaf.is_bookkeeping());
                kinds.iter().any(|kind| test.holds(kind)) || texts.any(|leaf| test.holds(&leaf.text))
            }
            Self::Field(path, test) => leaves
                .iter()
                .any(|leaf| leads_through(&leaf.path, path) && test.holds(&leaf.text)),
        }
    }
}

impl TextTest {
    fn holds(&self, text: &str) -> bool {
        match self {
            Self::Word(word) => text.to_lowercase().contains(word),
            Self::Phrase(phrase) => text.contains(phrase),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// The ways to write an entry's kind: as the contract has it, in one word, and as it is shorter to say.
fn kinds(entry: &Entry) -> Vec<String> {
    let name = kind_name(entry);
    let mut kinds = vec![name.to_owned(), name.replace('-', "")];
    if matches!(entry, Entry::PendingWorkerInvocation(_)) {
        kinds.extend(
            [
                "pending-invocation",
                "pendinginvocation",
                "pending-agent-invocation",
            ]
            .map(str::to_owned),
        );
    }
    kinds
}

/// True when the names of `fields` stand one behind the other somewhere on the path.
fn leads_through(path: &[String], fields: &[String]) -> bool {
    let same = |(name, field): (&String, &String)| name.eq_ignore_ascii_case(field);
    path.windows(fields.len())
        .any(|window| window.iter().zip(fields).all(same))
}
