//! Addresses that a restarted node can have again.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};
use rand::Rng;

/// Below the range that the kernel gives to outgoing connections, or one of those could take a dead node's port.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A loopback address that nobody listens on, given to one caller of this process only.
///
/// # Errors
/// No free port was found.
pub fn reserve() -> Result<SocketAddr> {
    for _ in 0..200 {
        let port = rand::rng().random_range(RANGE);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port)
        {
            return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
    }
    bail!("no free port in {RANGE:?}")
}
