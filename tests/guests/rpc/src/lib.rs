//! Calls other workers of its own component, through `golem:rpc/types`.

#[rustfmt::skip]
mod bindings;
mod peer;

use std::cell::Cell;
use std::time::Duration;

use bindings::exports::test::rpc::api::{Access, Colour, Guest, GuestTally, Shape};
use bindings::golem::rpc::types::{FutureInvokeResult, WitNode};
use peer::{flat, inner, nested, number, numbers, text, text_in_result, Peer};

thread_local! {
    static VALUE: Cell<u64> = const { Cell::new(0) };
    static TALLIES: Cell<u64> = const { Cell::new(0) };
}

struct Rpc;

impl Guest for Rpc {
    type Tally = Tally;

    fn add(by: u64) -> u64 {
        VALUE.set(VALUE.get() + by);
        VALUE.get()
    }

    fn slow_add(ms: u64, by: u64) -> u64 {
        std::thread::sleep(Duration::from_millis(ms));
        Self::add(by)
    }

    fn value() -> u64 {
        VALUE.get()
    }

    fn boom() {
        panic!("boom");
    }

    fn env() -> Vec<(String, String)> {
        std::env::vars().collect()
    }

    fn mix(shape: Shape, colour: Colour, access: Access, deep: Vec<(i8, Option<char>)>) -> String {
        format!("{shape:?} {colour:?} {access:?} {deep:?}")
    }

    fn call_add(target: String, by: u64) -> Result<u64, String> {
        number(Peer::of(&target).call("add", &[flat(WitNode::PrimU64(by))])?)
    }

    fn call_slow_add(target: String, ms: u64, by: u64) -> Result<u64, String> {
        let arguments = [flat(WitNode::PrimU64(ms)), flat(WitNode::PrimU64(by))];
        number(Peer::of(&target).call("slow-add", &arguments)?)
    }

    fn call(target: String, function: String) -> Result<(), String> {
        Peer::of(&target).call(&function, &[]).map(|_| ())
    }

    fn call_mix(target: String) -> Result<String, String> {
        use WitNode::*;
        // packed({label: "a", content: [1, 2], size: some(300)})
        let shape = nested(vec![
            VariantValue((2, Some(1))),
            RecordValue(vec![2, 3, 6]),
            PrimString("a".into()),
            ListValue(vec![4, 5]),
            PrimU8(1),
            PrimU8(2),
            OptionValue(Some(7)),
            PrimU16(300),
        ]);
        // [(-5, some('x')), (6, none)]
        let deep = nested(vec![
            ListValue(vec![1, 5]),
            TupleValue(vec![2, 3]),
            PrimS8(-5),
            OptionValue(Some(4)),
            PrimChar('x'),
            TupleValue(vec![6, 7]),
            PrimS8(6),
            OptionValue(None),
        ]);
        let colour = flat(EnumValue(1));
        let access = flat(FlagsValue(vec![true, false, true]));
        text(Peer::of(&target).call("mix", &[shape, colour, access, deep])?)
    }

    fn call_ephemeral() -> Result<(), String> {
        Peer::ephemeral().call("value", &[]).map(|_| ())
    }

    fn call_elsewhere(component: String, target: String, function: String, text: String) -> Result<String, String> {
        let answer = Peer::elsewhere(&component, &target).call(&function, &[flat(WitNode::PrimString(text))])?;
        text_in_result(&answer)
    }

    fn send_add(target: String, by: u64) -> Result<(), String> {
        Peer::of(&target).send("add", &[flat(WitNode::PrimU64(by))])
    }

    fn add_everywhere(targets: Vec<String>, by: u64) -> Vec<Result<u64, String>> {
        let begun: Vec<FutureInvokeResult> = targets
            .iter()
            .map(|target| Peer::of(target).begin("add", &[flat(WitNode::PrimU64(by))]))
            .collect();
        begun.iter().map(|future| number(peer::wait(future)?)).collect()
    }

    fn begin_add(target: String, by: u64) {
        Peer::of(&target).begin("add", &[flat(WitNode::PrimU64(by))]);
    }

    fn add_along(path: Vec<String>, by: u64) -> Result<Vec<u64>, String> {
        let own = Self::add(by);
        let Some((next, rest)) = path.split_first() else {
            return Ok(vec![own]);
        };
        let mut nodes = vec![WitNode::ListValue((1..=rest.len() as i32).collect())];
        nodes.extend(rest.iter().cloned().map(WitNode::PrimString));
        let arguments = [nested(nodes), flat(WitNode::PrimU64(by))];
        let answer = Peer::of(next).call("add-along", &arguments)?;
        let mut all = vec![own];
        all.extend(numbers(&answer)?);
        Ok(all)
    }

    fn schedule_add(target: String, ms: u64, by: u64) {
        Peer::of(&target).schedule(ms, "add", &[flat(WitNode::PrimU64(by))]);
    }

    fn schedule_and_cancel(target: String, ms: u64, by: u64) {
        Peer::of(&target)
            .schedule_cancelable(ms, "add", &[flat(WitNode::PrimU64(by))])
            .cancel();
    }

    fn count_there(target: String, by: u64) -> Result<Vec<u64>, String> {
        let peer = Peer::of(&target);
        let tally = inner(peer.call("[constructor]tally", &[flat(WitNode::PrimU64(100))])?)?;
        let mut counted = Vec::new();
        for _ in 0..2 {
            let arguments = [tally.clone(), flat(WitNode::PrimU64(by))];
            counted.push(number(peer.call("[method]tally.inc-by", &arguments)?)?);
        }
        peer.call("[drop]tally", &[tally])?;
        Ok(counted)
    }

    fn tallies() -> u64 {
        TALLIES.get()
    }
}

struct Tally(Cell<u64>);

impl GuestTally for Tally {
    fn new(start: u64) -> Self {
        TALLIES.set(TALLIES.get() + 1);
        Self(Cell::new(start))
    }

    fn inc_by(&self, by: u64) -> u64 {
        self.0.set(self.0.get() + by);
        self.0.get()
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        TALLIES.set(TALLIES.get() - 1);
    }
}

bindings::export!(Rpc with_types_in bindings);
