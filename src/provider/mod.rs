//! Platforms: what really happens when a resource is read, created, changed or deleted.
//!
//! One file per kind. Nothing here retries, waits for readiness or prints; the engine and the views do.

pub mod google;
pub mod kube;
pub mod value;

/// A recording of a real server beside the repository; `None`, said once, where the folder is absent.
#[cfg(test)]
fn recording(name: &str) -> Option<serde_json::Value> {
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["../shared/recordings", "../../shared/recordings"] {
        if let Ok(bytes) = std::fs::read(manifest.join(folder).join(name)) {
            return Some(serde_json::from_slice(&bytes).expect("recordings are JSON"));
        }
    }
    eprintln!("skipped: no recording {name}");
    None
}
