//! The wasm host with real components: every toolchain's counter, all value kinds, effects and their replay, failures.

mod components;
mod counters;
mod effects;
mod failures;
mod fixture;
mod resources;
mod values;
