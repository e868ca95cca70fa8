//! Reproducible chance: every value is a pure function of a seed and of what it is for.

/// Mixes two numbers into one that looks random (the finaliser of SplitMix64).
pub(crate) fn mix(seed: u64, purpose: u64) -> u64 {
    let mut z = seed.wrapping_add(purpose.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One of `0..count`; 0 if there is nothing to choose from.
pub(crate) fn below(chance: u64, count: usize) -> usize {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    if count == 0 { 0 } else { usize::try_from(chance % count).unwrap_or(0) }
}

/// True in `per_thousand` of a thousand cases.
pub(crate) fn one_in(chance: u64, per_thousand: u64) -> bool {
    chance % 1_000 < per_thousand
}

/// A number from 0 (included) to 1 (excluded).
pub(crate) fn fraction(chance: u64) -> f64 {
    let high_bits = u32::try_from(chance >> 32).unwrap_or(u32::MAX);
    f64::from(high_bits) / 4_294_967_296.0
}
