//! Takes and gives back every kind of component value.

#[rustfmt::skip]
mod bindings;

use std::cell::Cell;

use bindings::exports::test::values::api::{
    Access, Colour, Guest as Api, GuestTally, Point, Sample, Shape, Tally, TallyBorrow,
};

struct Values;

impl bindings::Guest for Values {
    fn bare(v: u32) -> u32 {
        v
    }
}

/// Defines functions that return their argument.
macro_rules! echo {
    ($($name:ident: $kind:ty),* $(,)?) => {
        $(fn $name(v: $kind) -> $kind { v })*
    };
}

impl Api for Values {
    type Tally = Number;

    echo! {
        echo_bool: bool,
        echo_u8: u8,
        echo_u16: u16,
        echo_u32: u32,
        echo_u64: u64,
        echo_s8: i8,
        echo_s16: i16,
        echo_s32: i32,
        echo_s64: i64,
        echo_f32: f32,
        echo_f64: f64,
        echo_char: char,
        echo_string: String,
        echo_bytes: Vec<u8>,
        echo_list: Vec<String>,
        echo_tuple: (u8, String, bool),
        echo_point: Point,
        echo_sample: Sample,
        echo_shape: Shape,
        echo_colour: Colour,
        echo_access: Access,
        echo_option: Option<Option<u32>>,
        echo_result: Result<u32, String>,
        echo_bare_result: Result<(), ()>,
    }

    fn no_result() {}

    fn two(a: u32, b: String) -> String {
        format!("{a} {b}")
    }

    fn peek(of: TallyBorrow<'_>) -> u64 {
        of.get::<Number>().value()
    }

    fn consume(of: Tally) -> u64 {
        of.get::<Number>().value()
    }
}

/// What stands behind a `tally`.
struct Number(Cell<u64>);

impl GuestTally for Number {
    fn new(start: u64) -> Self {
        Number(Cell::new(start))
    }

    fn add(&self, n: u64) -> u64 {
        self.0.set(self.0.get() + n);
        self.0.get()
    }

    fn value(&self) -> u64 {
        self.0.get()
    }

    fn merge(a: Tally, b: Tally) -> Tally {
        Tally::new(Number::new(a.get::<Number>().value() + b.get::<Number>().value()))
    }
}

bindings::export!(Values with_types_in bindings);
