//! From a filter and what a shard counts to the rows that have to be looked at. A pure function.

use std::collections::BTreeSet;

use kiln_proto::{Error, ids::ComponentId, v1::WorkerStatus};
use kiln_store::{AccessPath, Position, Stream, Tally, Variable, VariableKind};

use super::filter::{Filter, Known, Order, TextComparison, TextTest};

/// A row of an index leads to a record elsewhere; reading records one after another costs this much less.
const LOOKUP_COST: u64 = 3;
/// Components that a query over all of them looks up one by one.
const COMPONENTS_MAX: usize = 32;
/// Index streams that are merged.
const STREAMS_MAX: usize = 128;
/// A path that leads to fewer rows is good enough: nothing else is tried.
const FEW_ROWS: u64 = 16;
/// Rows that are counted to judge a path.
pub(super) const PROBE_ROWS_MAX: u64 = 512;

/// What a shard knows about its workers.
pub(super) trait Statistics {
    /// All counters of the shard.
    fn tallies(&self) -> &[Tally];
    /// Workers of a component that were created with this variable declared as indexed.
    fn covered(&self, component: ComponentId, kind: VariableKind, key: &str) -> Result<u64, Error>;
    /// Rows of a path, counted up to [`PROBE_ROWS_MAX`].
    fn rows(&self, path: &AccessPath) -> Result<u64, Error>;
}

/// Chooses the path with the fewest rows; behind `after` only among those that go on in its order.
pub(super) fn plan(
    component: Option<ComponentId>,
    filter: &Filter,
    after: Option<&Position>,
    statistics: &impl Statistics,
) -> Result<AccessPath, Error> {
    let planner = Planner::new(component, filter, statistics);
    match after {
        None => planner.best(),
        Some(Position::Number(_)) => Ok(planner.best_by_number()?.path),
        Some(Position::Created(..)) => planner.created().ok_or_else(another_order),
        Some(Position::Name(_)) => planner.named().ok_or_else(another_order),
    }
}

fn another_order() -> Error {
    Error::invalid("the cursor belongs to another filter")
}

struct Candidate {
    path: AccessPath,
    cost: u64,
}

struct Planner<'a, S> {
    filter: &'a Filter,
    statistics: &'a S,
    component: Option<ComponentId>,
    /// Components that have workers and are asked for, sorted.
    components: Vec<ComponentId>,
}

impl<'a, S: Statistics> Planner<'a, S> {
    fn new(component: Option<ComponentId>, filter: &'a Filter, statistics: &'a S) -> Self {
        let all: BTreeSet<_> = statistics.tallies().iter().map(|tally| tally.component).collect();
        let wanted = |known: &ComponentId| component.is_none_or(|component| component == *known);
        Self {
            filter,
            statistics,
            component,
            components: all.into_iter().filter(wanted).collect(),
        }
    }

    fn best(&self) -> Result<AccessPath, Error> {
        let mut best = self.best_by_number()?;
        for path in [self.named(), self.created()].into_iter().flatten() {
            if best.cost <= FEW_ROWS || self.components.len() > COMPONENTS_MAX {
                break;
            }
            let cost = self.cost(&path)?;
            if cost < best.cost {
                best = Candidate { path, cost };
            }
        }
        Ok(best.path)
    }

    /// The best of the paths in the order of numbers.
    fn best_by_number(&self) -> Result<Candidate, Error> {
        let mut best = Candidate {
            path: AccessPath::All,
            cost: self.statistics.tallies().iter().map(|tally| tally.count).sum(),
        };
        if self.components.len() > COMPONENTS_MAX {
            return Ok(best);
        }
        for candidate in [self.by_status(), self.by_version()] {
            if candidate.cost < best.cost {
                best = candidate;
            }
        }
        for conjunct in conjuncts(self.filter) {
            if best.cost <= FEW_ROWS {
                break;
            }
            let Some(streams) = self.by_variable(conjunct)? else {
                continue;
            };
            let path = AccessPath::Numbers(streams);
            let cost = self.cost(&path)?;
            if cost < best.cost {
                best = Candidate { path, cost };
            }
        }
        Ok(best)
    }

    /// Counters whose workers can match, as far as status and version tell.
    fn live(&self) -> impl Iterator<Item = &Tally> {
        self.statistics.tallies().iter().filter(|tally| {
            let known = Known {
                status: Some(tally.status),
                version: Some(tally.version),
                ..Known::default()
            };
            self.components.contains(&tally.component) && self.filter.judge(&known) != Some(false)
        })
    }

    fn by_status(&self) -> Candidate {
        let live: BTreeSet<(ComponentId, i32)> = self
            .live()
            .map(|tally| (tally.component, tally.status as i32))
            .collect();
        let is_live = |tally: &&Tally| live.contains(&(tally.component, tally.status as i32));
        let stream = |(component, status): &(ComponentId, i32)| {
            WorkerStatus::try_from(*status)
                .ok()
                .map(|status| Stream::Status(*component, status))
        };
        self.merged(live.iter().filter_map(stream).collect(), is_live)
    }

    fn by_version(&self) -> Candidate {
        let live: BTreeSet<(ComponentId, u64)> = self
            .live()
            .map(|tally| (tally.component, tally.version))
            .collect();
        let is_live = |tally: &&Tally| live.contains(&(tally.component, tally.version));
        let stream = |(component, version): &(ComponentId, u64)| Stream::Version(*component, *version);
        self.merged(live.iter().map(stream).collect(), is_live)
    }

    fn merged(&self, streams: Vec<Stream>, is_live: impl Fn(&&Tally) -> bool) -> Candidate {
        let tallies = self.statistics.tallies().iter();
        let rows: u64 = tallies.filter(is_live).map(|tally| tally.count).sum();
        Candidate {
            cost: match streams.len() {
                ..=STREAMS_MAX => rows.saturating_mul(LOOKUP_COST),
                _ => u64::MAX,
            },
            path: AccessPath::Numbers(streams),
        }
    }

    /// Streams that show every worker that the filter lets pass, if variables are indexed that say so.
    fn by_variable(&self, filter: &Filter) -> Result<Option<Vec<Stream>>, Error> {
        match filter {
            Filter::Env(key, test) => self.variable(VariableKind::Env, key, test),
            Filter::Config(key, test) => self.variable(VariableKind::Config, key, test),
            Filter::Any(any) => {
                let mut union = Vec::new();
                for filter in any {
                    match self.by_variable(filter)? {
                        Some(streams) if union.len() + streams.len() <= STREAMS_MAX => union.extend(streams),
                        _ => return Ok(None),
                    }
                }
                Ok(Some(union))
            }
            _ => Ok(None),
        }
    }

    fn variable(&self, kind: VariableKind, key: &str, test: &TextTest) -> Result<Option<Vec<Stream>>, Error> {
        if test.comparison != TextComparison::Equal {
            return Ok(None);
        }
        for component in &self.components {
            // Workers of versions that did not declare it are in no index.
            if self.statistics.covered(*component, kind, key)? != self.count(*component) {
                return Ok(None);
            }
        }
        let variable = Variable::new(kind, key, &test.value);
        let streams = self.components.iter();
        Ok(Some(
            streams
                .map(|component| Stream::Variable(*component, variable.clone()))
                .collect(),
        ))
    }

    fn count(&self, component: ComponentId) -> u64 {
        let tallies = self.statistics.tallies().iter();
        tallies
            .filter(|tally| tally.component == component)
            .map(|tally| tally.count)
            .sum()
    }

    fn named(&self) -> Option<AccessPath> {
        let names = conjuncts(self.filter)
            .into_iter()
            .filter_map(|filter| match filter {
                Filter::Name(test) if test.comparison == TextComparison::Equal => Some((true, &test.value)),
                Filter::Name(test) if test.comparison == TextComparison::StartsWith => {
                    Some((false, &test.value))
                }
                _ => None,
            });
        let (is_exact, name) = names.max_by_key(|(is_exact, name)| (*is_exact, name.len()))?;
        Some(AccessPath::Names {
            components: self.in_order(),
            name: name.clone(),
            is_exact,
        })
    }

    fn created(&self) -> Option<AccessPath> {
        let (from_ns, to_ns) = interval(self.filter);
        if from_ns == 0 && to_ns.is_none() {
            return None;
        }
        Some(AccessPath::Created {
            components: self.in_order(),
            from_ns,
            to_ns,
        })
    }

    /// The components of paths that go through one after another.
    fn in_order(&self) -> Vec<ComponentId> {
        self.component
            .map_or_else(|| self.components.clone(), |component| vec![component])
    }

    fn cost(&self, path: &AccessPath) -> Result<u64, Error> {
        let rows = self.statistics.rows(path)?;
        let rows = if rows < PROBE_ROWS_MAX {
            rows
        } else {
            // Many. How many is not known: half of what is there is as good a guess as any.
            let all: u64 = self
                .components
                .iter()
                .map(|component| self.count(*component))
                .sum();
            rows.max(all / 2)
        };
        Ok(rows.saturating_mul(LOOKUP_COST))
    }
}

/// The filters that all have to hold.
fn conjuncts(filter: &Filter) -> Vec<&Filter> {
    match filter {
        Filter::All(all) => all.iter().flat_map(conjuncts).collect(),
        other => vec![other],
    }
}

/// Nanoseconds that enclose every time of creation that the filter lets pass: the first, and one after the last.
fn interval(filter: &Filter) -> (u64, Option<u64>) {
    let earlier = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    match filter {
        Filter::CreatedAt(order, at) => match order {
            Order::Equal => (*at, at.checked_add(1)),
            Order::NotEqual => (0, None),
            Order::Less => (0, Some(*at)),
            Order::LessOrEqual => (0, at.checked_add(1)),
            Order::Greater => (at.saturating_add(1), None),
            Order::GreaterOrEqual => (*at, None),
        },
        Filter::All(all) => all
            .iter()
            .map(interval)
            .fold((0, None), |sum, next| (sum.0.max(next.0), earlier(sum.1, next.1))),
        Filter::Any(any) => any
            .iter()
            .map(interval)
            .reduce(|sum, next| (sum.0.min(next.0), sum.1.zip(next.1).map(|(a, b)| a.max(b))))
            .unwrap_or((0, None)),
        _ => (0, None),
    }
}

/// The name of a path for people.
pub(super) fn describe(path: &AccessPath) -> String {
    match path {
        AccessPath::All => "records".to_owned(),
        AccessPath::Created { .. } => "created-at".to_owned(),
        AccessPath::Names { is_exact: true, .. } => "name".to_owned(),
        AccessPath::Names { is_exact: false, .. } => "name prefix".to_owned(),
        AccessPath::Numbers(streams) => {
            let names: BTreeSet<_> = streams
                .iter()
                .map(|stream| match stream {
                    Stream::Status(..) => "status",
                    Stream::Version(..) => "version",
                    Stream::Variable(..) => "variable",
                    Stream::Workers(_) => "running",
                })
                .collect();
            match names.is_empty() {
                true => "nothing".to_owned(),
                false => names.into_iter().collect::<Vec<_>>().join("+"),
            }
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
