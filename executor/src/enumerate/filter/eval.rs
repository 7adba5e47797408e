use kiln_proto::v1::{KeyValue, WorkerRecord};

use super::{Filter, Order, TextComparison, TextTest};

impl Filter {
    /// True when the worker is like that.
    #[must_use]
    pub fn matches(&self, record: &WorkerRecord) -> bool {
        match self {
            Self::All(all) => all.iter().all(|filter| filter.matches(record)),
            Self::Any(any) => any.iter().any(|filter| filter.matches(record)),
            Self::Not(filter) => !filter.matches(record),
            Self::Name(test) => test.matches(record.worker_id.as_ref().map(|id| id.name.as_str())),
            Self::Status(order, status) => order.holds(record.status() as i32, *status as i32),
            Self::Version(order, version) => order.holds(record.component_version, *version),
            Self::CreatedAt(order, at_ns) => order.holds(record.created_at_ns, *at_ns),
            Self::Env(key, test) => test.matches(find(&record.env, |name| name.eq_ignore_ascii_case(key))),
            Self::Config(key, test) => test.matches(find(&record.config, |name| name == key)),
        }
    }
}

impl Order {
    fn holds<T: Ord + Copy>(self, left: T, right: T) -> bool {
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
}
