//! Which attempts of an install were accepted: replays, late arrivals and forks told apart.
//!
//! An honest agent never sends two different requests under one counter, so who does isn't alone with the
//! secret. `docs/protocol.md`, "Replay, retry, fork".

use sha2::{Digest, Sha256};

use crate::{Counter, Expected, Nonce};

/// How many counters up to the highest are told apart.
const WINDOW: u64 = 256;
const WINDOW_BYTES: usize = 32;
/// For how long a nonce is remembered, in seconds.
const NONCE_SECONDS: u32 = 900;
/// More are never kept, so that a row can't grow for ever; an install's quota admits 190 in that time.
const MAX_NONCES: usize = 256;
/// An instant of four bytes, then the first sixteen of the nonce's SHA-256.
const NONCE_BYTES: usize = 4 + 16;

/// What an attempt is, the first that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Its nonce was accepted in the last 15 minutes.
    NonceReplayed,
    /// Its counter is above the highest.
    Fresh,
    /// Its counter is in the window and was never accepted: it was overtaken by a later attempt.
    Stale,
    /// Its counter was accepted before, or lies below the window: two hold one secret, or an old state was
    /// restored.
    Fork,
}

/// What is remembered of an install's attempts. The default has seen none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayState {
    high: u64,
    /// Bit i, the least significant first: the counter `high` − i was accepted.
    window: [u64; WINDOW_BYTES / 8],
    /// Packed, the oldest first.
    nonces: Vec<u8>,
}

impl ReplayState {
    /// The highest counter that was accepted; 0 before the first.
    #[must_use]
    pub const fn high(&self) -> u64 {
        self.high
    }

    /// What an attempt with a valid proof is, at `now` (Unix seconds). Changes nothing.
    #[must_use]
    pub fn classify(&self, counter: Counter, nonce: &Nonce, now: i64) -> Arrival {
        let (digest, now) = (nonce_digest(nonce), packed_seconds(now));
        let mut remembered = self.nonces.chunks_exact(NONCE_BYTES);
        if remembered.any(|entry| entry[4..] == digest && is_recent(entry, now)) {
            return Arrival::NonceReplayed;
        }
        match self.high.checked_sub(counter.value()) {
            None => Arrival::Fresh,
            Some(behind) if behind < WINDOW && !self.is_marked(behind) => Arrival::Stale,
            Some(_) => Arrival::Fork,
        }
    }

    /// Stores the counter and the nonce of an attempt that is [`Fresh`](Arrival::Fresh).
    pub fn accept(&mut self, counter: Counter, nonce: &Nonce, now: i64) {
        debug_assert!(counter.value() > self.high, "the highest counter never goes down");
        self.shift(counter.value().saturating_sub(self.high));
        self.high = counter.value();
        self.window[0] |= 1;
        self.remember(nonce, now);
    }

    /// Stores the nonce of an attempt that is a [`Fork`](Arrival::Fork), and nothing of its counter.
    pub fn note_fork(&mut self, nonce: &Nonce, now: i64) {
        self.remember(nonce, now);
    }

    /// Starts counting at 0 for a machine that is activated, and stores its activation's nonce.
    pub fn activate(&mut self, nonce: &Nonce, now: i64) {
        self.restart();
        self.remember(nonce, now);
    }

    /// Starts counting at 0 again, for a machine that was activated again; nonces are remembered.
    pub fn restart(&mut self) {
        self.high = 0;
        self.window = [0; WINDOW_BYTES / 8];
    }

    /// The window as a column keeps it: 256 bits, big-endian, the last one for the highest counter.
    #[must_use]
    pub fn window_bytes(&self) -> [u8; WINDOW_BYTES] {
        let mut bytes = [0; WINDOW_BYTES];
        for (chunk, limb) in bytes.rchunks_exact_mut(8).zip(self.window) {
            chunk.copy_from_slice(&limb.to_be_bytes());
        }
        bytes
    }

    /// The nonces as a column keeps them, the oldest first: of each the second in which it was accepted (four
    /// bytes, big-endian) and the first 16 bytes of its SHA-256.
    #[must_use]
    pub fn nonce_bytes(&self) -> &[u8] {
        &self.nonces
    }

    /// The state of what columns keep.
    pub fn from_bytes(high: u64, window: [u8; WINDOW_BYTES], nonces: &[u8]) -> Result<Self, Expected> {
        let valid = high <= Counter::MAX.value() && nonces.len().is_multiple_of(NONCE_BYTES);
        let mut limbs = [0; WINDOW_BYTES / 8];
        for (limb, chunk) in limbs.iter_mut().zip(window.as_chunks().0.iter().rev()) {
            *limb = u64::from_be_bytes(*chunk);
        }
        let state = Self { high, window: limbs, nonces: nonces.to_vec() };
        if valid { Ok(state) } else { Err(Expected("a counter, and nonces of 20 bytes each")) }
    }

    fn is_marked(&self, behind: u64) -> bool {
        let limb = usize::try_from(behind / 64).ok().and_then(|index| self.window.get(index));
        limb.is_some_and(|limb| limb >> (behind % 64) & 1 == 1)
    }

    /// Moves every mark away from the highest counter.
    fn shift(&mut self, by: u64) {
        let (limbs, bits) = (usize::try_from(by / 64).unwrap_or(usize::MAX), by % 64);
        for index in (0..self.window.len()).rev() {
            let limb = |back: usize| index.checked_sub(back).map_or(0, |from| self.window[from]);
            let carried = if bits == 0 { 0 } else { limb(limbs.saturating_add(1)) >> (64 - bits) };
            self.window[index] = limb(limbs) << bits | carried;
        }
    }

    /// Stores the nonce of what has no counter: an activation. One that is sent again takes no second place: whoever
    /// repeats it could have the others forgotten.
    pub fn remember(&mut self, nonce: &Nonce, now: i64) {
        let (digest, now) = (nonce_digest(nonce), packed_seconds(now));
        let mut kept = Vec::with_capacity(self.nonces.len() + NONCE_BYTES);
        let is_kept = |entry: &&[u8]| is_recent(entry, now) && entry[4..] != digest;
        for entry in self.nonces.chunks_exact(NONCE_BYTES).filter(is_kept) {
            kept.extend_from_slice(entry);
        }
        let excess = (kept.len() / NONCE_BYTES + 1).saturating_sub(MAX_NONCES);
        kept.drain(..excess * NONCE_BYTES);
        kept.extend_from_slice(&now.to_be_bytes());
        kept.extend_from_slice(&digest);
        self.nonces = kept;
    }
}

fn nonce_digest(nonce: &Nonce) -> [u8; 16] {
    let digest = Sha256::digest(nonce.as_bytes());
    *digest.first_chunk().expect("SHA-256 has 32 bytes")
}

fn packed_seconds(unix_seconds: i64) -> u32 {
    u32::try_from(unix_seconds.max(0)).unwrap_or(u32::MAX)
}

/// Whether an entry is still remembered. One from a process whose clock is ahead is.
fn is_recent(entry: &[u8], now: u32) -> bool {
    let accepted = entry.first_chunk().map_or(0, |seconds| u32::from_be_bytes(*seconds));
    now.saturating_sub(accepted) < NONCE_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_123;

    fn counter(value: u64) -> Counter {
        Counter::new(value).unwrap()
    }

    fn nonce(number: u64) -> Nonce {
        Nonce::from_bytes(&[number.to_be_bytes(), [0; 8]].concat()).unwrap()
    }

    #[test]
    fn the_window_has_256_counters() {
        let mut state = ReplayState::default();
        for value in [1, 300, 301] {
            assert_eq!(state.classify(counter(value), &nonce(value), NOW), Arrival::Fresh);
            state.accept(counter(value), &nonce(value), NOW);
        }
        let arrival = |value| state.classify(counter(value), &nonce(9_000 + value), NOW);
        assert_eq!(arrival(302), Arrival::Fresh);
        assert_eq!([301, 300].map(arrival), [Arrival::Fork; 2], "accepted");
        assert_eq!([299, 47, 46].map(arrival), [Arrival::Stale; 3], "never accepted");
        assert_eq!([45, 1].map(arrival), [Arrival::Fork; 2], "below the window");
        assert_eq!(arrival(Counter::MAX.value()), Arrival::Fresh);
    }

    #[test]
    fn a_nonce_is_refused_for_15_minutes_whatever_its_counter() {
        let mut state = ReplayState::default();
        state.accept(counter(5), &nonce(1), NOW);
        for value in [4, 5, 6] {
            assert_eq!(state.classify(counter(value), &nonce(1), NOW + 899), Arrival::NonceReplayed);
        }
        assert_eq!(state.classify(counter(6), &nonce(1), NOW + 900), Arrival::Fresh);
        assert_eq!(state.classify(counter(5), &nonce(1), NOW + 900), Arrival::Fork);
        assert_eq!(
            state.classify(counter(6), &nonce(1), NOW - 5),
            Arrival::NonceReplayed,
            "another process's clock"
        );
    }

    #[test]
    fn a_fork_leaves_the_counters_alone_and_its_nonce_behind() {
        let mut state = ReplayState::default();
        state.accept(counter(5), &nonce(1), NOW);
        state.note_fork(&nonce(2), NOW);
        assert_eq!((state.high(), state.window_bytes()[31]), (5, 1));
        assert_eq!(state.classify(counter(6), &nonce(2), NOW), Arrival::NonceReplayed);
    }

    #[test]
    fn a_restart_counts_anew_and_remembers_nonces() {
        let mut state = ReplayState::default();
        state.accept(counter(500), &nonce(1), NOW);
        state.restart();
        assert_eq!(state.high(), 0);
        assert_eq!(state.classify(counter(1), &nonce(1), NOW), Arrival::NonceReplayed);
        assert_eq!(state.classify(counter(1), &nonce(2), NOW), Arrival::Fresh);
    }

    #[test]
    fn nonces_are_pruned_and_bounded() {
        let mut state = ReplayState::default();
        for number in 0..300 {
            state.remember(&nonce(number), NOW);
        }
        assert_eq!(state.nonce_bytes().len(), 256 * 20);
        assert_eq!(state.classify(counter(1), &nonce(43), NOW), Arrival::Fresh, "the oldest were dropped");
        assert_eq!(state.classify(counter(1), &nonce(44), NOW), Arrival::NonceReplayed);
        state.remember(&nonce(300), NOW + 900);
        assert_eq!(state.nonce_bytes().len(), 20);
    }

    #[test]
    fn columns_are_packed_as_described() {
        let mut state = ReplayState::default();
        state.accept(counter(1), &nonce(1), NOW);
        state.accept(counter(200), &nonce(2), NOW);
        let window = state.window_bytes();
        assert_eq!(window[31], 1);
        assert_eq!(window[31 - 199 / 8], 1 << (199 % 8));
        assert_eq!(window.iter().map(|byte| byte.count_ones()).sum::<u32>(), 2);
        assert_eq!(state.nonce_bytes()[..4], u32::try_from(NOW).unwrap().to_be_bytes());
        assert_eq!(state.nonce_bytes()[4..20], Sha256::digest(nonce(1).as_bytes())[..16]);
        assert_eq!(ReplayState::from_bytes(200, window, state.nonce_bytes()), Ok(state.clone()));
        assert!(ReplayState::from_bytes(200, window, &[0; 19]).is_err());
        assert!(ReplayState::from_bytes(1 << 53, window, &[]).is_err());
    }
}
