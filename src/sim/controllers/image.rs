//! References of container images, split as a registry client splits them.
//!
//! Not for pulling; [`super::kubelet`] does that.

/// `registry/repository[:tag][@digest]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Image {
    /// `docker.io` when the reference names none.
    pub registry: String,
    /// `vllm/vllm-openai`; `library/…` for one-word names of Docker Hub.
    pub repository: String,
    /// `latest` when there is neither tag nor digest; empty with a digest alone.
    pub tag: String,
    /// `sha256:…`, or empty.
    pub digest: String,
}

impl Image {
    /// Splits a reference.
    ///
    /// # Errors
    /// The reason as container runtimes word it, when the reference is malformed.
    pub fn parse(reference: &str) -> Result<Self, String> {
        let invalid = |why: &str| Err(format!("couldn't parse image name \"{reference}\": {why}"));
        let (rest, digest) = match reference.split_once('@') {
            Some((rest, digest)) => (rest, digest),
            None => (reference, ""),
        };
        if reference.contains('@') && !is_digest(digest) {
            return invalid("invalid reference format");
        }
        let (name, tag) = match rest.rsplit_once(':') {
            // A colon before the last slash belongs to the registry's port.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return invalid("invalid reference format");
        }
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
            Some(_) => ("docker.io", name.to_owned()),
            None => ("docker.io", format!("library/{name}")),
        };
        if repository.chars().any(|c| c.is_ascii_uppercase()) {
            return invalid("invalid reference format: repository name must be lowercase");
        }
        let parts = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.ends_with(|c: char| c.is_ascii_alphanumeric())
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        if !repository.split('/').all(parts) {
            return invalid("invalid reference format");
        }
        let tag = match tag {
            Some(tag) => tag,
            None if digest.is_empty() => "latest",
            None => "",
        };
        let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
        Ok(Image { registry: registry.to_owned(), repository, tag: tag.to_owned(), digest: digest.to_owned() })
    }

    /// `registry/repository`, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The last part of the repository: `pilot` of `docker.io/istio/pilot`. Programs are matched by it where
    /// mirrors are usual.
    pub fn base(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or_default()
    }

    /// The reference in full.
    pub fn reference(&self) -> String {
        let mut text = self.name();
        if !self.tag.is_empty() {
            text.push(':');
            text.push_str(&self.tag);
        }
        if !self.digest.is_empty() {
            text.push('@');
            text.push_str(&self.digest);
        }
        text
    }
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn is_digest(digest: &str) -> bool {
    digest.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_like_a_registry_client() {
        let name = |text: &str| Image::parse(text).map(|image| (image.name(), image.tag));
        assert_eq!(name("nginx"), Ok(("docker.io/library/nginx".into(), "latest".into())));
        assert_eq!(name("vllm/vllm-openai:v0.11"), Ok(("docker.io/vllm/vllm-openai".into(), "v0.11".into())));
        assert_eq!(name("localhost:5000/a/b"), Ok(("localhost:5000/a/b".into(), "latest".into())));
        let digest = format!("quay.io/x/y@sha256:{}", "a".repeat(64));
        assert_eq!(name(&digest), Ok(("quay.io/x/y".into(), String::new())));
        assert_eq!(Image::parse(&digest).expect("image").reference(), digest);
        for bad in ["", "Nginx", "a b", "a:", "a@sha256:1", "a//b", "-a", "registry.redhat.io/"] {
            assert!(Image::parse(bad).is_err(), "{bad}");
        }
    }
}
