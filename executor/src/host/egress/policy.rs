use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{AddressRange, HostPattern, special::is_special};

/// Where guests may connect to. Empty lists of what is allowed allow everything, except for addresses: those that are not
/// public stay closed unless a range opens them. What is denied is denied, whatever allows it.
#[derive(Debug, Clone, Default)]
pub struct EgressPolicy {
    /// Hosts that may be reached; all when empty.
    pub allow_hosts: Vec<HostPattern>,
    /// Hosts that may not.
    pub deny_hosts: Vec<HostPattern>,
    /// Ports that may be reached; all when empty.
    pub allow_ports: Vec<u16>,
    /// Ports that may not.
    pub deny_ports: Vec<u16>,
    /// Addresses that may be reached although they are not public.
    pub allow_addresses: Vec<AddressRange>,
    /// Addresses that may not.
    pub deny_addresses: Vec<AddressRange>,
    /// Guests may open TCP connections of their own.
    pub tcp: bool,
    /// Guests may send and receive UDP.
    pub udp: bool,
    /// The cluster's own listeners, which are closed to guests whatever else is allowed.
    pub own: OwnAddresses,
    /// Opens them.
    pub allow_own: bool,
}

/// The listeners of this cluster, as far as the node knows them.
#[derive(Debug, Clone, Default)]
pub struct OwnAddresses(Arc<parking_lot::RwLock<Vec<SocketAddr>>>);

/// Why a guest may not connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The host or the port is not one that guests may reach.
    #[error("the host or port is not allowed")]
    Host,
    /// The address is not one that guests may reach.
    #[error("the address is not allowed")]
    Address,
}

impl OwnAddresses {
    /// Replaces what is known.
    pub fn set(&self, addresses: Vec<SocketAddr>) {
        *self.0.write() = addresses;
    }

    /// True for a listener of the cluster. One that listens on all addresses of its machine counts by its port there.
    #[must_use]
    pub fn contains(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let is_here =
            |own: IpAddr| own == ip || (own.is_unspecified() && (ip.is_loopback() || ip.is_unspecified()));
        let own = self.0.read();
        own.iter()
            .any(|own| own.port() == address.port() && is_here(own.ip().to_canonical()))
    }
}

impl EgressPolicy {
    /// True when the host may be reached, as far as its name says.
    #[must_use]
    pub fn allows_host(&self, host: &str) -> bool {
        let fits = |patterns: &[HostPattern]| patterns.iter().any(|pattern| pattern.fits(host));
        (self.allow_hosts.is_empty() || fits(&self.allow_hosts)) && !fits(&self.deny_hosts)
    }

    /// True when the port may be reached.
    #[must_use]
    pub fn allows_port(&self, port: u16) -> bool {
        (self.allow_ports.is_empty() || self.allow_ports.contains(&port)) && !self.deny_ports.contains(&port)
    }

    /// Judges a destination before its name is resolved.
    ///
    /// # Errors
    /// [`Refusal::Host`].
    pub fn check_host(&self, host: &str, port: u16) -> Result<(), Refusal> {
        if self.allows_host(host) && self.allows_port(port) {
            Ok(())
        } else {
            Err(Refusal::Host)
        }
    }

    /// Judges an address that a name resolved to, or that the guest wrote itself. The connection has to be made to this
    /// very address: asked again, the name might resolve to another one.
    ///
    /// # Errors
    /// [`Refusal::Address`].
    pub fn check_address(&self, address: SocketAddr) -> Result<(), Refusal> {
        let ip = address.ip();
        let within = |ranges: &[AddressRange]| ranges.iter().any(|range| range.contains(ip));
        let closed = is_special(ip) && !within(&self.allow_addresses);
        let own = !self.allow_own && self.own.contains(address);
        if closed || own || within(&self.deny_addresses) {
            Err(Refusal::Address)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(list: &[&str]) -> Vec<AddressRange> {
        list.iter().map(|text| text.parse().expect("a range")).collect()
    }

    fn reaches(policy: &EgressPolicy, address: &str) -> bool {
        policy.check_address(address.parse().expect("an address")).is_ok()
    }

    #[test]
    fn only_public_addresses_are_open_by_default() {
        let policy = EgressPolicy::default();
        assert!(policy.check_host("example.com", 443).is_ok());
        assert!(reaches(&policy, "1.1.1.1:443") && !reaches(&policy, "127.0.0.1:80"));
        assert!(!reaches(&policy, "169.254.169.254:80") && !reaches(&policy, "[::1]:80"));
    }

    #[test]
    fn ranges_open_and_close() {
        let policy = EgressPolicy {
            allow_addresses: ranges(&["127.0.0.0/8"]),
            deny_addresses: ranges(&["127.0.0.9", "1.1.1.1"]),
            ..EgressPolicy::default()
        };
        policy.own.set(vec!["0.0.0.0:9000".parse().expect("an address")]);
        assert!(reaches(&policy, "127.0.0.1:80") && !reaches(&policy, "127.0.0.9:80"));
        assert!(!reaches(&policy, "1.1.1.1:80") && !reaches(&policy, "10.0.0.1:80"));
        assert!(!reaches(&policy, "127.0.0.1:9000"), "the node itself");
        assert!(
            !reaches(&policy, "[::ffff:127.0.0.1]:9000"),
            "the node itself in other clothes"
        );
        let open = EgressPolicy {
            allow_own: true,
            ..policy
        };
        assert!(reaches(&open, "127.0.0.1:9000") && !reaches(&open, "127.0.0.9:9000"));
    }

    #[test]
    fn hosts_and_ports_are_listed() {
        let policy = EgressPolicy {
            allow_hosts: vec!["*.example.com".parse().expect("a pattern")],
            deny_hosts: vec!["bad.example.com".parse().expect("a pattern")],
            allow_ports: vec![443],
            ..EgressPolicy::default()
        };
        let cases = [
            ("a.example.com", 443, true),
            ("bad.example.com", 443, false),
            ("a.example.com", 80, false),
            ("other.org", 443, false),
        ];
        for (host, port, expected) in cases {
            assert_eq!(policy.check_host(host, port).is_ok(), expected, "{host}:{port}");
        }
    }
}
