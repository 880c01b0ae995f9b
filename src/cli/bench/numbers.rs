//! Numbers and ranges, with the syntax of llama-bench.

use std::str::FromStr;

/// `8`, `1-8`, `1-8+2`, `1-8*2`.
#[derive(Clone)]
pub(super) struct Range(Vec<usize>);

/// All numbers of some ranges.
pub(super) fn numbers(ranges: &[Range]) -> Vec<usize> {
    ranges.iter().flat_map(|range| range.0.iter().copied()).collect()
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("{text:?} is not a number or a range, as in 1-8, 1-8+2 or 1-8*2");
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| fault());
        let Some((first, rest)) = text.split_once('-') else { return Ok(Self(vec![number(text)?])) };
        let (last, sum, factor) = if let Some((last, step)) = rest.split_once('+') {
            (last, number(step)?, 1)
        } else if let Some((last, factor)) = rest.split_once('*') {
            (last, 0, number(factor)?)
        } else {
            (rest, 1, 1)
        };
        let (first, last) = (number(first)?, number(last)?);
        let next = |&n: &usize| n.checked_mul(factor)?.checked_add(sum).filter(|&more| more > n);
        let numbers: Vec<usize> =
            std::iter::successors(Some(first), next).take_while(|&n| n <= last).take(1 << 16).collect();
        if numbers.is_empty() { Err(fault()) } else { Ok(Self(numbers)) }
    }
}

/// `512,128`: tokens of a prompt, and of the answer.
#[derive(Clone, Copy)]
pub(super) struct Pair(pub(super) usize, pub(super) usize);

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = text.split_once(',').and_then(|(prompt, generated)| {
            Some(Self(prompt.trim().parse().ok()?, generated.trim().parse().ok()?))
        });
        pair.ok_or_else(|| format!("{text:?} is not two numbers of tokens, as in 512,128"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_llama_bench_reads_them() {
        let numbers = |text: &str| text.parse::<Range>().map(|range| range.0);
        assert_eq!(numbers("512"), Ok(vec![512]));
        assert_eq!(numbers("1-4"), Ok(vec![1, 2, 3, 4]));
        assert_eq!(numbers("1-8+3"), Ok(vec![1, 4, 7]));
        assert_eq!(numbers("1-9*2"), Ok(vec![1, 2, 4, 8]));
        assert_eq!(numbers("3-9+0"), Ok(vec![3]));
        for wrong in ["", "x", "4-1", "1-", "1-8/2", "-3"] {
            assert!(numbers(wrong).is_err(), "{wrong}");
        }
    }
}
