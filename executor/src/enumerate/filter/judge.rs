use kiln_proto::v1::{KeyValue, WorkerRecord, WorkerStatus};

use super::{Filter, Order, TextComparison, TextTest};

/// What is known of a worker so far. An index row shows a part, a record everything.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::enumerate) struct Known<'a> {
    pub(in crate::enumerate) name: Option<&'a str>,
    pub(in crate::enumerate) status: Option<WorkerStatus>,
    pub(in crate::enumerate) version: Option<u64>,
    pub(in crate::enumerate) created_at_ns: Option<u64>,
    /// Environment and configuration come only with the whole record.
    pub(in crate::enumerate) variables: Option<(&'a [KeyValue], &'a [KeyValue])>,
}

impl<'a> Known<'a> {
    /// Everything.
    pub(in crate::enumerate) fn all_of(record: &'a WorkerRecord) -> Self {
        Self {
            name: Some(record.worker_id.as_ref().map_or("", |id| id.name.as_str())),
            status: Some(record.status()),
            version: Some(record.component_version),
            created_at_ns: Some(record.created_at_ns),
            variables: Some((&record.env, &record.config)),
        }
    }
}

impl Filter {
    /// True when the worker is like that.
    #[must_use]
    pub fn matches(&self, record: &WorkerRecord) -> bool {
        self.judge(&Known::all_of(record)) == Some(true)
    }

    /// What follows from the part that is known; `None` when the rest decides.
    pub(in crate::enumerate) fn judge(&self, known: &Known<'_>) -> Option<bool> {
        match self {
            Self::All(all) => conjunction(all.iter().map(|filter| filter.judge(known))),
            Self::Any(any) => conjunction(any.iter().map(|filter| filter.judge(known).map(|holds| !holds)))
                .map(|none| !none),
            Self::Not(filter) => filter.judge(known).map(|holds| !holds),
            Self::Name(test) => known.name.map(|name| test.matches(Some(name))),
            Self::Status(order, status) => known
                .status
                .map(|known| order.holds(known as i32, *status as i32)),
            Self::Version(order, version) => known.version.map(|known| order.holds(known, *version)),
            Self::CreatedAt(order, at_ns) => known.created_at_ns.map(|known| order.holds(known, *at_ns)),
            Self::Env(key, test) => known
                .variables
                .map(|(env, _)| test.matches(find(env, |name| name.eq_ignore_ascii_case(key)))),
            Self::Config(key, test) => known
                .variables
                .map(|(_, config)| test.matches(find(config, |name| name == key))),
        }
    }
}

/// All of them hold, as far as that is known: one that does not decides, one that is unknown leaves it open.
fn conjunction(terms: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut verdict = Some(true);
    for term in terms {
        match term {
            Some(false) => return Some(false),
            Some(true) => {}
            None => verdict = None,
        }
    }
    verdict
}

impl Order {
    pub(in crate::enumerate) fn holds<T: Ord + Copy>(self, left: T, right: T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

impl TextTest {
    /// A text that is absent equals nothing, contains nothing and begins with nothing.
    fn matches(&self, text: Option<&str>) -> bool {
        let value = self.value.as_str();
        match self.comparison {
            TextComparison::Equal => text == Some(value),
            TextComparison::NotEqual => text != Some(value),
            TextComparison::Like => text.is_some_and(|text| text.contains(value)),
            TextComparison::NotLike => !text.is_some_and(|text| text.contains(value)),
            TextComparison::StartsWith => text.is_some_and(|text| text.starts_with(value)),
        }
    }
}

fn find(pairs: &[KeyValue], is_wanted: impl Fn(&str) -> bool) -> Option<&str> {
    pairs
        .iter()
        .find(|pair| is_wanted(&pair.key))
        .map(|pair| pair.value.as_str())
}

#[cfg(test)]
mod tests {
    use kiln_proto::v1::{WorkerId, WorkerStatus};

    use super::*;

    #[test]
    fn judges_a_worker() {
        let pair = |key: &str, value: &str| KeyValue {
            key: key.into(),
            value: value.into(),
        };
        let mut record = WorkerRecord {
            worker_id: Some(WorkerId {
                name: "order-7".into(),
                ..WorkerId::default()
            }),
            component_version: 2,
            env: vec![pair("REGION", "eu-1")],
            config: vec![pair("k", "v")],
            ..WorkerRecord::default()
        };
        record.set_status(WorkerStatus::Suspended);
        let cases = [
            ("name = order-7", true),
            ("name like der", true),
            ("name notlike der", false),
            ("status > idle and status < failed", true),
            ("version != 2", false),
            ("env.region startswith eu", true),
            ("env.missing = x", false),
            ("env.missing != x", true),
            ("config.K = v", false),
            ("not (config.k = v)", false),
            ("createdAt < 1971-01-01T00:00:00Z", true),
        ];
        for (text, expected) in cases {
            let filter = Filter::parse_all(&[text]).expect(text);
            assert_eq!(filter.matches(&record), expected, "{text}");
        }
        assert!(Filter::All(Vec::new()).matches(&record) && !Filter::Any(Vec::new()).matches(&record));
    }

    #[test]
    fn decides_from_a_part_when_the_rest_does_not_matter() {
        let failed = Known {
            status: Some(WorkerStatus::Failed),
            ..Known::default()
        };
        let cases = [
            ("status = failed", Some(true)),
            ("status = idle and name = x", Some(false)),
            ("status = failed or name = x", Some(true)),
            ("status = failed and name = x", None),
            ("not (status = failed or env.a = b)", Some(false)),
            ("not (status = idle) and version = 1", None),
        ];
        for (text, expected) in cases {
            let filter = Filter::parse_all(&[text]).expect(text);
            assert_eq!(filter.judge(&failed), expected, "{text}");
        }
    }
}
