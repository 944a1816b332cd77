//! What names may look like: Google Cloud, GKE and Kubernetes each have rules of their own.
//!
//! Every function returns what is wrong, in words that fit under a caret.

type Checked = Result<(), String>;

fn lowercase_name(text: &str, longest: usize) -> Checked {
    let count = text.chars().count();
    if text.is_empty() {
        return Err("a name cannot be empty".to_owned());
    }
    if count > longest {
        return Err(format!("{count} characters; at most {longest} are allowed"));
    }
    if let Some(odd) = text.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')) {
        return Err(format!("{odd:?} is not allowed: lower-case letters, digits and `-` are"));
    }
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err("must start with a letter".to_owned());
    }
    if text.ends_with('-') {
        return Err("cannot end with `-`".to_owned());
    }
    Ok(())
}

/// A GKE cluster or node pool: at most 40 characters, `[a-z]([-a-z0-9]*[a-z0-9])?`.
pub(crate) fn gke(text: &str) -> Checked {
    lowercase_name(text, 40)
}

/// A block of IPv4 or IPv6 addresses, `203.0.113.0/24`, written with the block's first address.
pub(crate) fn block(text: &str) -> Checked {
    let shape = || "write an address and a length: 203.0.113.0/24".to_owned();
    let (address, length) = text.split_once('/').ok_or_else(shape)?;
    let address = address.parse::<std::net::IpAddr>().map_err(|_| shape())?;
    let length = length.parse::<u32>().map_err(|_| shape())?;
    let (bits, width) = match address {
        std::net::IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        std::net::IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    if length > width {
        return Err(format!("at most {width} bits"));
    }
    match bits.checked_shl(length) {
        None | Some(0) => Ok(()),
        Some(_) => Err(format!("the address has bits beyond the first {length}")),
    }
}

/// A time of day in UTC, `03:00`.
pub(crate) fn time_of_day(text: &str) -> Checked {
    let two = |part: &str, below: u8| {
        let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        digits && part.parse::<u8>().is_ok_and(|number| number < below)
    };
    let fine = text.split_once(':').is_some_and(|(hours, minutes)| two(hours, 24) && two(minutes, 60));
    if fine { Ok(()) } else { Err("write hours and minutes, in UTC: 03:00".to_owned()) }
}

/// A moment, `2026-01-03T22:00:00Z`.
pub(crate) fn moment(text: &str) -> Checked {
    let found = crate::env::clock::Timestamp::parse(text);
    found.map(|_| ()).ok_or_else(|| "write a day and a time: 2026-01-03T22:00:00Z".to_owned())
}

/// How often something comes again, in the words of RFC 5545: `FREQ=WEEKLY;BYDAY=SA,SU`.
pub(crate) fn recurrence(text: &str) -> Checked {
    let parts = text.split(';').all(|part| part.split_once('=').is_some_and(|(k, v)| !k.is_empty() && !v.is_empty()));
    let often = ["DAILY", "WEEKLY", "MONTHLY", "YEARLY"];
    let known = text.split(';').find_map(|part| part.strip_prefix("FREQ=")).is_some_and(|word| often.contains(&word));
    if parts && known { Ok(()) } else { Err("write for example FREQ=DAILY or FREQ=WEEKLY;BYDAY=SA,SU".to_owned()) }
}

/// A Kubernetes namespace or Service, and a stack: at most 63 characters.
pub(crate) fn label(text: &str) -> Checked {
    lowercase_name(text, 63)
}

/// A component that Kubernetes objects are named after: room is left for the longest suffix that KServe
/// appends to a model's name within a label's 63 characters, `-kserve-self-signed-certs` (25).
pub(crate) fn workload(text: &str) -> Checked {
    lowercase_name(text, 38)
}

/// A chart: Helm allows release names of at most 53 characters.
pub(crate) fn release(text: &str) -> Checked {
    lowercase_name(text, 53)
}

/// An input, an output, a `[values]` table: a word that can stand in a reference.
pub(crate) fn word(text: &str) -> Checked {
    if text.is_empty() {
        return Err("a name cannot be empty".to_owned());
    }
    if text.len() > 128 {
        return Err(format!("{} characters; at most 128 are allowed", text.chars().count()));
    }
    if let Some(odd) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))) {
        return Err(format!("{odd:?} is not allowed: letters, digits, `_` and `-` are"));
    }
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return Err("must start with a letter".to_owned());
    }
    Ok(())
}

/// An environment variable.
pub(crate) fn variable(text: &str) -> Checked {
    if text.is_empty() || text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("must start with a letter or `_`".to_owned());
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))) {
        Some(odd) => Err(format!("{odd:?} is not allowed in a variable's name")),
        None => Ok(()),
    }
}

/// A Google Cloud project id: 6 to 30 characters; a domain-scoped one has `example.com:` before it.
pub(crate) fn project(text: &str) -> Checked {
    let id = text.rsplit_once(':').map_or(text, |(_, id)| id);
    lowercase_name(id, 30)?;
    if id.len() < 6 { Err("a project id has at least 6 characters".to_owned()) } else { Ok(()) }
}

/// A Google Cloud region or zone: `europe-west4`, `europe-west4-a`, `us-central1-ai1a`.
pub(crate) fn location(text: &str) -> Checked {
    lowercase_name(text, 40)?;
    let region_ends_with_digit =
        text.split('-').nth(1).is_some_and(|part| part.ends_with(|c: char| c.is_ascii_digit()));
    if region_ends_with_digit {
        Ok(())
    } else {
        Err("not a region or zone such as europe-west4 or europe-west4-a".to_owned())
    }
}

/// Whether a [`location`] is a zone.
pub(crate) fn is_zone(location: &str) -> bool {
    location.split('-').count() > 2
}

/// The key of a Google Cloud label.
pub(crate) fn google_label_key(text: &str) -> Checked {
    if text.starts_with("stackwright-") {
        return Err("labels that start with stackwright- are set by stackwright".to_owned());
    }
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err("a label of a cluster starts with a lower-case letter".to_owned());
    }
    google_label_value(text)
}

/// The value of a Google Cloud label.
pub(crate) fn google_label_value(text: &str) -> Checked {
    if text.chars().count() > 63 {
        return Err(format!("{} characters; at most 63 are allowed", text.chars().count()));
    }
    match text.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))) {
        Some(odd) => {
            Err(format!("{odd:?} is not allowed: Google's labels hold lower-case letters, digits, `_` and `-`"))
        }
        None => Ok(()),
    }
}

/// The key of a Kubernetes label or taint: `[domain/]name`.
pub(crate) fn kubernetes_label_key(text: &str) -> Checked {
    let (domain, name) = text.split_once('/').map_or((None, text), |(domain, name)| (Some(domain), name));
    if let Some(domain) = domain {
        let parts_are_good = domain.split('.').all(|part| {
            !part.is_empty()
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        });
        if domain.len() > 253 || !parts_are_good {
            return Err(format!("{domain:?} is not a domain in lower case"));
        }
    }
    if name.is_empty() { Err("a label needs a name".to_owned()) } else { kubernetes_label_value(name) }
}

/// The value of a Kubernetes label or taint.
pub(crate) fn kubernetes_label_value(text: &str) -> Checked {
    if text.chars().count() > 63 {
        return Err(format!("{} characters; at most 63 are allowed", text.chars().count()));
    }
    if let Some(odd) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))) {
        return Err(format!("{odd:?} is not allowed: Kubernetes labels hold letters, digits, `_`, `-` and `.`"));
    }
    let ends = |c: char| c.is_ascii_alphanumeric();
    if text.is_empty() || text.starts_with(ends) && text.ends_with(ends) {
        return Ok(());
    }
    Err("must start and end with a letter or digit".to_owned())
}

/// The host of a container registry: `registry.redhat.io`, `localhost:5000`.
pub(crate) fn registry(text: &str) -> Checked {
    if text.contains("://") || text.contains('/') {
        return Err("a registry is named by its host alone, such as registry.redhat.io".to_owned());
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err("the port is not a number".to_owned());
    }
    let good = !host.is_empty()
        && host.split('.').all(|part| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        });
    if good { Ok(()) } else { Err("a registry is named by its host, such as registry.redhat.io".to_owned()) }
}

/// The host name of a listener, possibly with a leading `*.`.
pub(crate) fn hostname(text: &str) -> Checked {
    let plain = text.strip_prefix("*.").unwrap_or(text);
    let good = plain.len() <= 253
        && plain.contains('.')
        && plain.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        });
    if good { Ok(()) } else { Err("not a host name such as models.example.com".to_owned()) }
}

/// Where KServe fetches a model: the schemes that its storage initializer knows.
pub(crate) fn model(text: &str) -> Checked {
    const SCHEMES: [&str; 6] = ["hf", "gs", "s3", "pvc", "oci", "oci+native"];
    match text.split_once("://") {
        Some((scheme, rest)) if SCHEMES.contains(&scheme) && !rest.is_empty() => Ok(()),
        Some((scheme, _)) if !SCHEMES.contains(&scheme) => {
            Err(format!("{scheme}:// is not known; use {}", SCHEMES.map(|s| format!("{s}://")).join(", ")))
        }
        _ => Err("write where the model is: hf://Qwen/Qwen2.5-3B-Instruct".to_owned()),
    }
}

/// Where a chart is fetched from.
pub(crate) fn chart_source(text: &str) -> Checked {
    match text.split_once("://") {
        Some(("git+https" | "git+http", rest)) if !rest.contains("?ref=") => {
            Err("say which state of the repository: ?ref=TAG at the end".to_owned())
        }
        Some(("oci" | "https" | "http" | "git+https" | "git+http" | "file", rest)) if !rest.is_empty() => Ok(()),
        Some((scheme, _)) => Err(format!("{scheme}:// is not known; use oci://, https://, git+https:// or a path")),
        None if text.is_empty() => Err("write oci://…, https://…, git+https://… or a path".to_owned()),
        None => Ok(()),
    }
}

/// Where state lives.
pub(crate) fn backend(text: &str) -> Checked {
    match text.split_once("://") {
        Some(("gs" | "s3" | "az", rest)) if rest.split('/').next().is_some_and(|bucket| bucket.contains('@')) => {
            Err("a login does not belong into an address: the service's own variables and files hold it".to_owned())
        }
        Some(("gs" | "s3" | "az", rest)) if !rest.is_empty() && !rest.starts_with('/') => Ok(()),
        Some(("gs" | "s3" | "az", _)) => Err("a bucket is missing".to_owned()),
        Some((scheme, _)) => Err(format!("{scheme}:// is not known; use gs://, s3://, az:// or a path")),
        None if text.is_empty() => Err("write gs://bucket/prefix or a path".to_owned()),
        None => Ok(()),
    }
}

/// A sha256 digest.
pub(crate) fn digest(text: &str) -> Checked {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        Ok(())
    } else {
        Err("write sha256: and 64 hexadecimal digits in lower case".to_owned())
    }
}

/// An address to fetch a manifest from.
pub(crate) fn url(text: &str) -> Checked {
    match text.split_once("://") {
        Some(("https" | "http", rest)) if !rest.is_empty() => Ok(()),
        _ => Err("write an address that starts with https://".to_owned()),
    }
}

/// A TPU topology: two or three numbers joined by `x`.
pub(crate) fn topology(text: &str) -> Checked {
    let sides = text.split('x').collect::<Vec<_>>();
    let numbers = sides.iter().all(|side| side.parse::<u16>().is_ok_and(|n| n > 0) && !side.starts_with(['0', '+']));
    if (2..=3).contains(&sides.len()) && numbers {
        Ok(())
    } else {
        Err("write two or three numbers joined by x: 4x4".to_owned())
    }
}

/// A component's or object's address in `[[moved]]`.
pub(crate) fn address(text: &str) -> Checked {
    match text.split_once('.') {
        None if matches!(text, "cluster" | "gateway") => Ok(()),
        Some((section, name)) if !section.is_empty() && word(name.split('/').next().unwrap_or_default()).is_ok() => {
            Ok(())
        }
        _ => Err("write an address such as node_pools.gpu".to_owned()),
    }
}

/// Any text that is not empty.
pub(crate) fn some_text(text: &str) -> Checked {
    if text.trim().is_empty() { Err("cannot be empty".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_times_and_recurrences() {
        for good in ["0.0.0.0/0", "203.0.113.0/24", "203.0.113.7/32", "2001:db8::/32", "::/0", "2001:db8::1/128"] {
            assert_eq!(block(good), Ok(()), "{good}");
        }
        for bad in ["", "10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "2001:db8::1/64", "::/129", "10.0.0/8", "10.0.0.0/-1"]
        {
            assert!(block(bad).is_err(), "{bad}");
        }
        assert!(time_of_day("00:00").is_ok() && time_of_day("23:59").is_ok());
        for bad in ["24:00", "3:00", "03:60", "03", "03:00:00", "+3:00"] {
            assert!(time_of_day(bad).is_err(), "{bad}");
        }
        assert!(moment("2026-01-03T22:00:00Z").is_ok() && moment("2026-01-03").is_err());
        assert!(recurrence("FREQ=WEEKLY;BYDAY=SA,SU").is_ok());
        for bad in ["", "WEEKLY", "FREQ=HOURLY", "BYDAY=SA", "FREQ=DAILY;"] {
            assert!(recurrence(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_follow_their_owners_rules() {
        assert!(gke(&"a".repeat(40)).is_ok() && gke(&"a".repeat(41)).is_err());
        for bad in ["", "1a", "a-", "A", "a_b", "é"] {
            assert!(gke(bad).is_err(), "{bad}");
        }
        assert!(project("sim-project").is_ok() && project("abc").is_err() && project("example.com:my-project").is_ok());
        for good in ["europe-west4", "europe-west4-a", "us-central1-ai1a"] {
            assert!(location(good).is_ok(), "{good}");
        }
        assert!(location("europe").is_err() && is_zone("us-east5-b") && !is_zone("us-east5"));
    }

    #[test]
    fn labels_addresses_and_sources() {
        assert!(google_label_key("team").is_ok() && google_label_key("stackwright-id").is_err());
        assert!(google_label_value("A").is_err());
        assert!(kubernetes_label_key("cloud.google.com/gke-x").is_ok() && kubernetes_label_key("a/b/c").is_err());
        assert!(registry("registry.redhat.io").is_ok() && registry("https://x").is_err());
        assert!(model("hf://a/b").is_ok() && model("a/b").is_err() && model("ftp://x").is_err());
        assert!(backend("gs://b/p").is_ok() && backend("gs://").is_err() && backend("states").is_ok());
        assert!(topology("2x4").is_ok() && topology("4").is_err() && topology("0x4").is_err());
        assert!(address("node_pools.gpu").is_ok() && address("cluster").is_ok() && address("gpu").is_err());
        assert!(digest(&format!("sha256:{}", "0".repeat(64))).is_ok() && digest("sha256:abc").is_err());
        assert!(hostname("*.models.example.com").is_ok() && hostname("localhost").is_err());
    }
}
