use kiln_proto::ids::{NodeId, ShardId};
use proptest::prelude::*;

use super::{
    Liveness, Step,
    model::{ALIVE, Model},
    plan,
};

#[test]
fn nothing_is_placed_before_there_are_enough_executors() {
    let mut model = Model::new(16, 3).with_nodes(2);
    assert!(!model.round());
    model.set(3, Liveness::Alive { settled: false });
    assert!(!model.round(), "a node that came a moment ago is not used yet");
    model.set(3, ALIVE);
    assert!(model.round());
}

#[test]
fn every_size_of_cluster_is_filled_evenly() {
    for (shards, factor, nodes) in [
        (1, 1, 1),
        (16, 1, 1),
        (16, 3, 3),
        (16, 3, 5),
        (64, 3, 7),
        (1024, 3, 9),
        (16, 5, 6),
    ] {
        let mut model = Model::new(shards, factor).with_nodes(nodes);
        model.settle();
        model.assert_converged();
        assert_eq!(model.moves, 0, "the first placement is the last");
    }
}

#[test]
fn the_preferred_owner_starts_the_group_and_so_leads_it() {
    let mut model = Model::new(4, 3).with_nodes(3);
    model.round();
    let steps = plan(&model.state, &model.facts(), &model.limits);
    assert_eq!(steps.len(), 4);
    for step in steps {
        let shard = step.shards()[0];
        let at = model.state.shards[&shard].owner();
        assert_eq!(
            step,
            Step::Initialize {
                shard,
                at,
                members: (1..=3).map(NodeId).collect()
            }
        );
    }
}

#[test]
fn a_first_set_is_never_changed_before_it_was_started() {
    let mut model = Model::new(8, 3).with_nodes(4);
    model.round();
    let placed = model.state.shards.clone();
    model.set(1, Liveness::Lost);
    let steps = plan(&model.state, &model.facts(), &model.limits);
    assert!(
        steps
            .iter()
            .all(|step| matches!(step, Step::Initialize { at, .. } if *at != NodeId(1))),
        "{steps:?}"
    );
    for (shard, placement) in &placed {
        assert_eq!(placement.replicas, model.state.shards[shard].replicas);
    }
    model.settle();
    model.assert_converged();
}

#[test]
fn a_silent_node_keeps_its_replicas_and_a_lost_one_does_not() {
    let mut model = Model::new(16, 3).with_nodes(4);
    model.settle();
    model.set(2, Liveness::Silent);
    model.settle();
    assert_eq!(model.moves, 0);
    let held = model.spread()[&NodeId(2)].0;
    model.set(2, Liveness::Lost);
    model.settle();
    model.assert_converged();
    assert_eq!(model.moves, held, "only what was lost is replaced");
}

#[test]
fn leadership_returns_to_a_node_that_was_away() {
    let mut model = Model::new(16, 3).with_nodes(3);
    model.settle();
    model.set(2, Liveness::Silent);
    assert_eq!(model.spread()[&NodeId(2)].1, 0);
    model.settle();
    model.set(2, Liveness::Alive { settled: false });
    model.settle();
    assert_eq!(model.transfers, 0, "not before it has settled");
    model.set(2, ALIVE);
    model.settle();
    model.assert_converged();
}

#[test]
fn a_joining_node_gets_its_share_and_no_more_moves_than_that() {
    let mut model = Model::new(64, 3).with_nodes(5);
    model.settle();
    model.join(6);
    model.settle();
    model.assert_converged();
    assert_eq!(model.moves, 64 * 3 / 6);
}

#[test]
fn a_draining_node_ends_up_with_nothing() {
    let mut model = Model::new(16, 3).with_nodes(4);
    model.settle();
    model.set(3, Liveness::Draining);
    model.settle();
    model.assert_converged();
    assert_eq!(model.spread()[&NodeId(3)], (0, 0));
}

#[test]
fn a_draining_node_that_cannot_be_replaced_at_least_leads_nothing() {
    let mut model = Model::new(16, 3).with_nodes(3);
    model.settle();
    model.set(3, Liveness::Draining);
    model.settle();
    assert_eq!(model.spread()[&NodeId(3)], (16, 0));
}

#[test]
fn a_single_replica_moves_by_promoting_the_newcomer_first() {
    let mut model = Model::new(8, 1).with_nodes(1);
    model.settle();
    model.join(2);
    model.settle();
    model.assert_converged();
    assert_eq!(model.moves, 4);
}

#[test]
fn a_newcomer_that_keeps_failing_is_replaced_by_another() {
    let mut model = Model::new(16, 3).with_nodes(5);
    model.settle();
    model.broken.insert(NodeId(4));
    model.set(5, Liveness::Lost);
    for _ in 0..400 {
        model.round();
    }
    let still_there = model
        .groups
        .values()
        .filter(|group| group.voters.contains(&NodeId(5)))
        .count();
    assert_eq!(
        still_there, 0,
        "the lost node was replaced although one of the candidates never works"
    );
}

#[test]
fn a_failed_step_is_not_planned_again_at_once() {
    let mut model = Model::new(16, 3).with_nodes(3);
    model.settle();
    model.set(2, Liveness::Silent);
    model.set(2, ALIVE);
    model.broken.insert(NodeId(2));
    let first = plan(&model.state, &model.facts(), &model.limits);
    assert!(
        first
            .iter()
            .all(|step| matches!(step, Step::Transfer { to: NodeId(2), .. }))
            && !first.is_empty()
    );
    model.round();
    assert_ne!(plan(&model.state, &model.facts(), &model.limits), first);
}

#[test]
fn a_shard_with_a_step_under_way_is_left_alone() {
    let mut model = Model::new(2, 1).with_nodes(2);
    model.round();
    let mut facts = model.facts();
    facts.busy.insert(ShardId(0));
    let steps = plan(&model.state, &facts, &model.limits);
    assert!(
        steps.iter().all(|step| step.shards() == [ShardId(1)]),
        "{steps:?}"
    );
}

/// What can happen to a cluster.
#[derive(Debug, Clone)]
enum Event {
    Join,
    Lose(usize),
    Silence(usize),
    Return(usize),
    Drain(usize),
    Break(usize),
    Rounds(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Join),
        (0..8usize).prop_map(Event::Lose),
        (0..8usize).prop_map(Event::Silence),
        (0..8usize).prop_map(Event::Return),
        (0..8usize).prop_map(Event::Drain),
        (0..8usize).prop_map(Event::Break),
        (1..20u8).prop_map(Event::Rounds),
    ]
}

fn apply(model: &mut Model, event: &Event) {
    let pick = |model: &Model, index: &usize| {
        *model
            .liveness
            .keys()
            .nth(index % model.liveness.len())
            .expect("some")
    };
    match event {
        Event::Join => {
            let next = model.liveness.keys().last().map_or(1, |node| node.0 + 1);
            if next <= 8 {
                model.join(next);
            }
        }
        Event::Lose(index) => model.set(pick(model, index).0, Liveness::Lost),
        Event::Silence(index) => model.set(pick(model, index).0, Liveness::Silent),
        Event::Return(index) => model.set(pick(model, index).0, ALIVE),
        Event::Drain(index) => model.set(pick(model, index).0, Liveness::Draining),
        Event::Break(index) => {
            let node = pick(model, index);
            model.broken.insert(node);
        }
        Event::Rounds(rounds) => (0..*rounds).for_each(|_| {
            model.round();
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// G8: whatever happened, once every node works again the plan comes to an end with everything in its place.
    /// Meanwhile every plan is safe: that is checked in the model at each round.
    #[test]
    fn faults_heal(
        shards in prop_oneof![Just(1u32), Just(4), Just(16), Just(32)],
        factor in prop_oneof![Just(1u32), Just(3)],
        nodes in 3..6u64,
        events in proptest::collection::vec(event(), 0..25),
    ) {
        let mut model = Model::new(shards, factor).with_nodes(nodes);
        for event in &events {
            apply(&mut model, event);
        }
        model.broken.clear();
        for node in model.liveness.keys().copied().collect::<Vec<_>>() {
            model.set(node.0, ALIVE);
        }
        model.settle();
        model.assert_converged();
    }
}
