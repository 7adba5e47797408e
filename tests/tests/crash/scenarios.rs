//! What the workers do while the processes under them are killed. In arguments and results `{me}` is the worker's name,
//! `{server}` the server's address, and `{0}` what the first step gave.

use Step::{Call, Create, Revert, Update};

/// A run of one worker, and what it must leave behind.
pub(crate) struct Scenario {
    /// The guest, which is uploaded as a component of the same name.
    pub(crate) component: &'static str,
    /// The guest that is its second version.
    pub(crate) successor: Option<&'static str>,
    pub(crate) steps: &'static [Step],
    /// Calls that show what is left, here and at other workers. They may be made any number of times.
    pub(crate) state: &'static [Step],
    /// What it has given to its log.
    pub(crate) log: &'static [&'static str],
    /// Effects at the server.
    pub(crate) effects: usize,
}

pub(crate) enum Step {
    /// Who is called, the function, its arguments, and what it must give: exactly that, what the undisturbed run has given
    /// (`=`), or anything (`*`).
    Call(&'static str, &'static str, &'static [&'static str], &'static str),
    /// The worker is created in the first version, with arguments, environment and configuration.
    Create,
    /// The worker moves to this version, which replays all that it has done.
    Update(u64),
    /// The last so many invocations are taken back.
    Revert(u64),
}

const ME: &str = "{me}";
const PEER: &str = "{me}-peer";

const NOTHING: Scenario = Scenario {
    component: "",
    successor: None,
    steps: &[],
    state: &[],
    log: &[],
    effects: 0,
};

/// The longest first, so that all end at about the same time.
pub(crate) const SCENARIOS: &[Scenario] = &[
    // Calls of another worker: awaited, queued, at the same time, later, and of its resources.
    Scenario {
        component: "rpc",
        steps: &[
            Call(ME, "call-add", &["\"{me}-peer\"", "1"], "ok(1)"),
            Call(ME, "add-everywhere", &["[\"{me}-peer\"]", "20"], "[ok(21)]"),
            Call(ME, "send-add", &["\"{me}-peer\"", "300"], "ok"),
            Call(ME, "schedule-add", &["\"{me}-peer\"", "1", "4000"], ""),
            Call(ME, "count-there", &["\"{me}-peer\"", "2"], "ok([102, 104])"),
        ],
        state: &[Call(PEER, "value", &[], "4321"), Call(PEER, "tallies", &[], "0")],
        ..NOTHING
    },
    // Clocks, randomness, environment, configuration, standard output, logging, sleeping.
    Scenario {
        component: "effects",
        steps: &[
            Create,
            Call(ME, "observe", &[], "1"),
            Call(ME, "env", &[], "="),
            Call(ME, "args", &[], "[\"x\", \"y\"]"),
            Call(ME, "variables", &[], "[(\"colour\", \"teal\")]"),
            Call(ME, "print", &["\"line\""], ""),
            Call(ME, "log-variable", &["\"colour\""], "some(\"teal\")"),
            Call(ME, "sleep-ms", &["1"], ""),
            Call(ME, "observe", &[], "2"),
        ],
        state: &[Call(ME, "observed", &[], "*")],
        log: &["line", "teal"],
        ..NOTHING
    },
    // Atomic regions, zones without persistence, keys, jumps, promises, copies.
    Scenario {
        component: "durable",
        steps: &[
            Call(ME, "make-promise", &[], "="),
            Call(ME, "journey", &[], "*"),
            Call(ME, "until-even", &[], "*"),
            Call(ME, "complete", &["\"{me}\"", "{0}", "[1, 2]"], "true"),
            Call(ME, "await", &["\"{me}\"", "{0}"], "[1, 2]"),
            Call(ME, "count", &[], "1"),
            Call(ME, "fork", &["\"{me}-peer\"", "true"], "="),
            Call(ME, "count", &[], "3"),
            Call(PEER, "count", &[], "3"),
        ],
        state: &[
            Call(ME, "poll", &["\"{me}\"", "{0}"], "some([1, 2])"),
            Call(ME, "whoami", &[], "="),
            Call(PEER, "whoami", &[], "="),
        ],
        ..NOTHING
    },
    // Another version of the component, in the middle of the run.
    Scenario {
        component: "updates-v1",
        successor: Some("updates-v2"),
        steps: &[
            Create,
            Call(ME, "increment", &["5"], "5"),
            Call(ME, "increment", &["6"], "11"),
            Update(1),
            Call(ME, "version", &[], "2"),
            Call(ME, "increment", &["7"], "18"),
        ],
        state: &[Call(ME, "version", &[], "2")],
        ..NOTHING
    },
    // Files, and taking back what was done to one. The key of what was taken back is free again: asked for once more, it is done.
    Scenario {
        component: "files",
        steps: &[
            Call(ME, "write", &["\"a\"", "\"one\""], "ok"),
            Call(ME, "append", &["\"a\"", "\"two\""], "ok"),
            Call(ME, "append", &["\"a\"", "\"three\""], "ok"),
            Revert(1),
            Call(ME, "remember", &["\"a\""], "*"),
            Call(ME, "rename", &["\"a\"", "\"b\""], "ok"),
        ],
        state: &[
            Call(ME, "read", &["\"b\""], "ok(\"onetwo\")"),
            Call(ME, "names", &["\".\""], "ok([\"b\"])"),
            Call(ME, "remembered", &[], "*"),
        ],
        ..NOTHING
    },
    // Outgoing HTTP, a body in pieces, names, sockets, which are closed, and a handler of incoming HTTP.
    Scenario {
        component: "outgoing",
        steps: &[
            Call(
                ME,
                "twice",
                &["\"http://{server}/echo?by={me}\""],
                "ok(\"0:one 1:two\")",
            ),
            Call(
                ME,
                "download",
                &["\"http://{server}/stream?by={me}\"", "100"],
                "ok(\"2:0;2:1;2:2;2:3;\")",
            ),
            Call(ME, "resolve", &["\"localhost\""], "="),
            Call(ME, "connect", &["1"], "="),
            Call(
                ME,
                "golem:http/incoming-handler.{handle}",
                &["{method: \"GET\", uri: \"http://localhost/hello\", headers: [], body: some([7, 8, 9])}"],
                "=",
            ),
        ],
        effects: 3,
        ..NOTHING
    },
    Scenario {
        component: "storage",
        steps: &[
            Call(
                ME,
                "set-and-get",
                &["\"{me}\"", "\"k\"", "\"v\""],
                "ok(some(\"v\"))",
            ),
            Call(ME, "increment", &["\"{me}\"", "\"n\"", "5"], "ok(5)"),
            Call(ME, "put", &["\"{me}\"", "\"o\"", "10000", "3"], "ok"),
            Call(ME, "range", &["\"{me}\"", "\"o\"", "0", "1"], "="),
        ],
        state: &[Call(ME, "increment", &["\"{me}\"", "\"n\"", "0"], "ok(5)")],
        ..NOTHING
    },
    // Spans, the own oplog, and calls that the guest makes durable itself.
    Scenario {
        component: "apis",
        steps: &[
            Call(ME, "twice", &["21"], "42"),
            Call(ME, "span", &["\"inner\"", "\"7\""], "*"),
            Call(ME, "write", &["\"line\""], "\"second line\""),
            // What a crash has made void moves the places of what comes after it.
            Call(ME, "search", &["\"\"", "\"begin-remote-write\""], "*"),
            Call(ME, "lazy", &["1"], "true"),
        ],
        state: &[Call(ME, "twice", &["4"], "8")],
        ..NOTHING
    },
];
