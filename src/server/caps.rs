//! How many connections may be open at once: over all workers, and from one address (of IPv6, from one /64, which is what
//! one customer of a provider has).

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The counters, shared by all workers.
#[derive(Debug)]
pub(super) struct Caps {
    most: usize,
    most_per_address: usize,
    open: AtomicUsize,
    by_origin: Mutex<HashMap<Origin, usize>>,
}

/// Whose connections are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin(IpAddr);

/// Which cap a connection would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Total,
    Address,
}

impl Full {
    /// In one word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Address => "address",
        }
    }
}

/// The right to one connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    caps: Arc<Caps>,
    /// `None`: it is not known yet whose it is.
    origin: Option<Origin>,
}

impl Caps {
    pub(super) fn new(most: usize, most_per_address: usize) -> Self {
        Self { most, most_per_address, open: AtomicUsize::new(0), by_origin: Mutex::default() }
    }

    /// Counts one more connection from an address.
    ///
    /// # Errors
    /// The cap that has been reached.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Permit, Full> {
        let mut permit = self.admit_somebody()?;
        permit.name(address)?;
        Ok(permit)
    }

    /// Counts one more connection, of which it is not known yet whose it is: [`Permit::name`] says so.
    ///
    /// # Errors
    /// The cap over all has been reached.
    pub(super) fn admit_somebody(self: &Arc<Self>) -> Result<Permit, Full> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Total);
        }
        Ok(Permit { caps: Arc::clone(self), origin: None })
    }
}

impl Permit {
    /// Counts it for an address; once.
    ///
    /// # Errors
    /// The address has as many as it may.
    pub(super) fn name(&mut self, address: IpAddr) -> Result<(), Full> {
        let origin = Origin::of(address);
        let mut by_origin = self.caps.by_origin.lock().unwrap_or_else(PoisonError::into_inner);
        let open = by_origin.get(&origin).copied().unwrap_or_default();
        if open >= self.caps.most_per_address {
            return Err(Full::Address);
        }
        by_origin.insert(origin, open + 1);
        self.origin = Some(origin);
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.caps.open.fetch_sub(1, Ordering::Relaxed);
        let Some(origin) = self.origin else { return };
        let mut by_origin = self.caps.by_origin.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = by_origin.get_mut(&origin) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                by_origin.remove(&origin);
            }
        }
    }
}

impl Origin {
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_is_given_back() {
        let caps = Arc::new(Caps::new(2, 9));
        let address = IpAddr::from([127, 0, 0, 1]);
        let first = caps.admit(address).unwrap();
        let _second = caps.admit(address).unwrap();
        assert_eq!(caps.admit(address).unwrap_err(), Full::Total);
        drop(first);
        let _third = caps.admit(address).unwrap();
        assert_eq!(caps.admit(address).unwrap_err(), Full::Total);
    }

    #[test]
    fn a_permit_is_named_once_it_is_known_whose_it_is() {
        let caps = Arc::new(Caps::new(3, 1));
        let address = IpAddr::from([192, 0, 2, 1]);
        let mut first = caps.admit_somebody().unwrap();
        let mut second = caps.admit_somebody().unwrap();
        assert_eq!((first.name(address), second.name(address)), (Ok(()), Err(Full::Address)));
        assert_eq!(second.name([192, 0, 2, 2].into()), Ok(()));
        let _third = caps.admit_somebody().unwrap();
        assert_eq!(caps.admit_somebody().unwrap_err(), Full::Total);
        drop((first, second));
        assert!(caps.by_origin.lock().unwrap().is_empty());
        assert_eq!(caps.open.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn addresses_are_counted_apart_and_forgotten() {
        let caps = Arc::new(Caps::new(100, 1));
        let check = |first: &str, second: &str, together: bool| {
            let permit = caps.admit(first.parse().unwrap()).unwrap();
            let other = caps.admit(second.parse().unwrap());
            assert_eq!(other.as_ref().err(), together.then_some(&Full::Address), "{first} and {second}");
            drop((permit, other));
            assert!(caps.by_origin.lock().unwrap().is_empty());
            assert_eq!(caps.open.load(Ordering::Relaxed), 0);
        };
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("2001:db8:0:1::1", "2001:db8:0:1:ffff::9", true);
        check("2001:db8:0:1::1", "2001:db8:0:2::1", false);
    }
}
