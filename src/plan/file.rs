//! Saved plans: gzip-compressed JSON behind a magic line.
//!
//! The first line is `stackwright plan 4`, then the compressed [`Plan`]. Holds references to secret inputs
//! and keyed digests of their values, never the values.

use std::io::{Read, Write};

use crate::plan::model::{FORMAT, Plan};

const MAGIC: &str = "stackwright plan ";

/// No plan is larger than this once unpacked; a file that claims to be is refused.
const LIMIT: u64 = 1 << 30;

/// Nor so many times larger than it was packed, but for a little one: plans are packed 5 to 50 times smaller.
const RATIO: u64 = 200;

/// Why bytes are not a plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    /// Some other file.
    #[error("this is not a saved plan")]
    NotAPlan,
    /// Written by a later version.
    #[error("the plan has format {0}, newer than this program understands ({FORMAT}); use a newer stackwright")]
    Newer(u32),
    /// Cut short or changed.
    #[error("the plan is damaged: {0}")]
    Damaged(String),
}

/// The bytes of a plan. The same plan gives the same bytes.
pub fn encode(plan: &Plan) -> Vec<u8> {
    let mut out = format!("{MAGIC}{FORMAT}\n").into_bytes();
    let json = serde_json::to_vec(plan).expect("plans have only string keys");
    let mut packer = flate2::write::GzEncoder::new(&mut out, flate2::Compression::default());
    packer.write_all(&json).and_then(|()| packer.finish().map(drop)).expect("memory accepts writes");
    out
}

/// Reads a plan.
///
/// # Errors
/// [`PlanFileError`].
pub fn decode(bytes: &[u8]) -> Result<Plan, PlanFileError> {
    let rest = bytes.strip_prefix(MAGIC.as_bytes()).ok_or(PlanFileError::NotAPlan)?;
    let end = rest.iter().position(|&b| b == b'\n').ok_or(PlanFileError::NotAPlan)?;
    let version = std::str::from_utf8(&rest[..end]).ok().and_then(|v| v.parse::<u32>().ok());
    match version {
        None => return Err(PlanFileError::NotAPlan),
        Some(version) if version > FORMAT => return Err(PlanFileError::Newer(version)),
        Some(_) => {}
    }
    let packed = &rest[end + 1..];
    let limit = LIMIT.min((packed.len() as u64).saturating_mul(RATIO).saturating_add(1 << 20));
    let mut json = Vec::new();
    flate2::read::GzDecoder::new(packed)
        .take(limit + 1)
        .read_to_end(&mut json)
        .map_err(|e| PlanFileError::Damaged(e.to_string()))?;
    if json.len() as u64 > limit {
        return Err(PlanFileError::Damaged(format!("it claims to be more than {limit} bytes")));
    }
    serde_json::from_slice(&json).map_err(|e| PlanFileError::Damaged(e.to_string()))
}
