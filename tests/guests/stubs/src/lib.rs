//! Calls workers of its own component through a client stub, which the host links to remote calls.

#[rustfmt::skip]
mod bindings;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bindings::exports::test::stubs::driver;
use bindings::exports::test::stubs_exports::shop;
use bindings::golem::api::host::resolve_worker_id;
use bindings::test::stubs_client::stubs_client as client;
use bindings::wasi::clocks::wall_clock::{self, Datetime};
use bindings::wasi::io::poll::Pollable;

thread_local! {
    static SHELF: RefCell<Vec<shop::Item>> = const { RefCell::new(Vec::new()) };
    static NOTES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static LIVING: Cell<u32> = const { Cell::new(0) };
}

struct Stubs;

impl shop::Guest for Stubs {
    type Till = Till;
    type Bell = Bell;

    fn put(item: shop::Item) -> u32 {
        SHELF.with_borrow_mut(|shelf| {
            shelf.push(item);
            shelf.len() as u32
        })
    }

    fn look() -> shop::Shelf {
        SHELF.with_borrow(|shelf| match shelf.is_empty() {
            true => shop::Shelf::Empty,
            false => shop::Shelf::Filled(shelf.clone()),
        })
    }

    fn note(text: String) {
        NOTES.with_borrow_mut(|notes| notes.push(text));
    }

    fn notes() -> Vec<String> {
        NOTES.with_borrow(Vec::clone)
    }

    fn echo(ms: u64, text: String) -> String {
        std::thread::sleep(Duration::from_millis(ms));
        text
    }

    fn boom() -> u32 {
        panic!("boom");
    }

    fn open(start: u64) -> shop::Till {
        shop::Till::new(Till(Cell::new(start), Life::begin()))
    }

    fn sum(tills: Vec<shop::TillBorrow>) -> u64 {
        tills.iter().map(|till| till.get::<Till>().0.get()).sum()
    }

    fn close(till: Option<shop::Till>) -> u64 {
        till.map_or(0, |till| till.into_inner::<Till>().0.get())
    }

    fn living() -> u32 {
        LIVING.get()
    }
}

struct Life;

impl Life {
    fn begin() -> Self {
        LIVING.set(LIVING.get() + 1);
        Self
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        LIVING.set(LIVING.get() - 1);
    }
}

struct Till(Cell<u64>, #[allow(dead_code)] Life);

impl shop::GuestTill for Till {
    fn new(start: u64) -> Self {
        Self(Cell::new(start), Life::begin())
    }

    fn add(&self, by: u64) -> u64 {
        self.0.set(self.0.get() + by);
        self.0.get()
    }

    fn drain(&self, other: shop::TillBorrow) -> u64 {
        self.add(other.get::<Till>().0.take())
    }
}

struct Bell(Cell<u32>, #[allow(dead_code)] Life);

impl shop::GuestBell for Bell {
    fn new() -> Self {
        Self(Cell::new(0), Life::begin())
    }

    fn ring(&self) -> u32 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }
}

/// What the component exports and what its stub takes are types of two interfaces.
impl From<shop::Item> for client::Item {
    fn from(item: shop::Item) -> Self {
        let shop::Item { name, count } = item;
        Self { name, count }
    }
}

impl From<client::Shelf> for shop::Shelf {
    fn from(shelf: client::Shelf) -> Self {
        let item = |client::Item { name, count }| shop::Item { name, count };
        match shelf {
            client::Shelf::Empty => Self::Empty,
            client::Shelf::Filled(items) => Self::Filled(items.into_iter().map(item).collect()),
        }
    }
}

fn wait<T>(get: impl Fn() -> Option<T>, subscribe: impl Fn() -> Pollable) -> T {
    loop {
        if let Some(result) = get() {
            return result;
        }
        subscribe().block();
    }
}

impl driver::Guest for Stubs {
    fn put(worker: String, item: shop::Item) -> u32 {
        client::Shop::new(&worker).blocking_put(&item.into())
    }

    fn put_by_id(component: String, worker: String, item: shop::Item) -> u32 {
        let id = resolve_worker_id(&component, &worker).expect("a component of this name");
        client::Shop::custom(&id).blocking_put(&item.into())
    }

    fn look(worker: String) -> shop::Shelf {
        client::Shop::new(&worker).blocking_look().into()
    }

    fn note(worker: String, text: String) {
        client::Shop::new(&worker).note(&text);
    }

    fn echo(workers: Vec<String>, ms: u64, text: String) -> Vec<String> {
        let begin = |worker: &String| client::Shop::new(worker).echo(ms, &text);
        let begun: Vec<_> = workers.iter().map(begin).collect();
        let wait = |future: client::FutureShopEchoResult| wait(|| future.get(), || future.subscribe());
        begun.into_iter().map(wait).collect()
    }

    fn note_later(worker: String, ms: u64, text: String, cancel: bool) {
        let now = wall_clock::now();
        let ns = u64::from(now.nanoseconds) + ms % 1000 * 1_000_000;
        let due = Datetime {
            seconds: now.seconds + ms / 1000 + ns / 1_000_000_000,
            nanoseconds: (ns % 1_000_000_000) as u32,
        };
        let token = client::Shop::new(&worker).schedule_note(&text, due);
        if cancel {
            token.cancel();
        }
    }

    fn sell(worker: String, start: u64, by: u64) -> Vec<u64> {
        let till = client::Till::new(&worker, start);
        vec![till.blocking_add(by), till.blocking_add(by)]
    }

    fn ring(worker: String) -> u32 {
        client::Bell::new(&worker).blocking_ring()
    }

    fn trade(worker: String) -> Vec<u64> {
        let shop = client::Shop::new(&worker);
        let made = client::Till::new(&worker, 1);
        let opened = shop.blocking_open(20);
        let future = shop.open(300);
        let begun = wait(|| future.get(), || future.subscribe());
        let all = shop.blocking_sum(&[&made, &opened, &begun]);
        let drained = made.blocking_drain(&opened);
        let closed = shop.blocking_close(Some(begun));
        let none = shop.blocking_close(None);
        vec![all, drained, opened.blocking_add(0), closed, none, made.blocking_add(0)]
    }

    fn mix_up(worker: String, other: String) -> u64 {
        let till = client::Till::new(&other, 1);
        client::Shop::new(&worker).blocking_sum(&[&till])
    }

    fn boom(worker: String) -> u32 {
        client::Shop::new(&worker).blocking_boom()
    }
}

bindings::export!(Stubs with_types_in bindings);
