//! `wasi:sockets` for TCP and UDP: closed unless the configuration opens them, and then they lead where the egress policy
//! allows it. Nothing that comes through them is recorded. A guest never listens.

use std::net::SocketAddr;

use wasmtime_wasi::{WasiCtxBuilder, sockets::SocketAddrUse};

use crate::host::egress::EgressPolicy;

pub(in crate::host) fn open(wasi: &mut WasiCtxBuilder, policy: &EgressPolicy) {
    wasi.allow_tcp(policy.tcp)
        .allow_udp(policy.udp)
        .allow_ip_name_lookup(false);
    let policy = policy.clone();
    wasi.socket_addr_check(move |address, usage| {
        let allowed = is_allowed(&policy, address, usage);
        Box::pin(async move { allowed })
    });
}

fn is_allowed(policy: &EgressPolicy, address: SocketAddr, usage: SocketAddrUse) -> bool {
    match usage {
        // As the system does it before a connection; a port of the guest's own choice would be one to be reached at.
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => {
            address.ip().is_unspecified() && address.port() == 0
        }
        SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => {
            policy.allows_port(address.port()) && policy.check_address(address).is_ok()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_connect_where_they_may_and_never_listen() {
        let policy = EgressPolicy {
            deny_ports: vec![25],
            tcp: true,
            ..EgressPolicy::default()
        };
        let cases = [
            (SocketAddrUse::TcpBind, "0.0.0.0:0", true),
            (SocketAddrUse::TcpBind, "0.0.0.0:80", false),
            (SocketAddrUse::TcpConnect, "1.1.1.1:443", true),
            (SocketAddrUse::TcpConnect, "1.1.1.1:25", false),
            (SocketAddrUse::TcpConnect, "127.0.0.1:443", false),
            (SocketAddrUse::TcpListen, "0.0.0.0:0", false),
        ];
        for (usage, address, expected) in cases {
            let allowed = is_allowed(&policy, address.parse().expect("an address"), usage);
            assert_eq!(allowed, expected, "{usage:?} {address}");
        }
    }
}
