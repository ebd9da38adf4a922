//! Where a request comes from.

use std::net::{IpAddr, Ipv6Addr};

/// The client's address, which whoever listens puts into the request's extensions. Of an IPv6 address the network's
/// half: the other half is the client's to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            address @ IpAddr::V4(_) => address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ClientAddress;

    #[test]
    fn clients_of_one_ipv6_network_are_one_and_mapped_ipv4_is_ipv4() {
        let of = |text: &str| ClientAddress::from(text.parse::<std::net::IpAddr>().unwrap()).0.to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
    }
}
