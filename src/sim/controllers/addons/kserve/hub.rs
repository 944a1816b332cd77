//! Hugging Face as whoever downloads a model meets it: which repositories want a token, and in which words it and its
//! client refuse.
//!
//! Who downloads is in `download` (KServe's init container) and in `vllm`.

use crate::sim::controllers::faults::{Faults, Hub};

/// Prefixes of repositories behind a licence click, which need a token.
const GATED: [&str; 3] = ["meta-llama/", "google/gemma", "mistralai/Mistral-7B-Instruct-v0.3"];

/// Whether a repository is behind a licence click.
pub fn is_gated(repository: &str) -> bool {
    GATED.iter().any(|prefix| repository.starts_with(prefix))
}

/// Why the hub does not hand out a repository's files, in the client's words; `token` as it was sent.
pub fn refusal(faults: &dyn Faults, repository: &str, token: Option<&str>) -> Option<String> {
    let token = token.filter(|token| !token.trim().is_empty());
    let url = format!("https://huggingface.co/api/models/{repository}/revision/main");
    let restricted = |code: u16, what: &str| {
        format!(
            "huggingface_hub.errors.GatedRepoError: {code} Client Error. Cannot access gated repo for url \
             https://huggingface.co/{repository}/resolve/main/config.json. Access to model {repository} is restricted{what}"
        )
    };
    // A line break or a blank in a header is no token of anybody's.
    let malformed = token.is_some_and(|token| token.contains(char::is_whitespace));
    match faults.hub(repository) {
        Some(Hub::Unreachable) => {
            Some("huggingface_hub.errors.LocalEntryNotFoundError: Connection to huggingface.co timed out.".to_owned())
        }
        Some(Hub::Unauthorized) | None if malformed || (token.is_some() && faults.hub(repository).is_some()) => {
            Some(format!(
                "huggingface_hub.errors.HfHubHTTPError: 401 Client Error: Unauthorized for url: {url} Invalid credentials \
                 in Authorization header"
            ))
        }
        Some(Hub::Missing) => {
            // To strangers a private repository and none look the same.
            let code = if token.is_some() { 404 } else { 401 };
            Some(format!(
                "huggingface_hub.errors.RepositoryNotFoundError: {code} Client Error. Repository Not Found for url: {url}. \
                 Please make sure you specified the correct `repo_id` and `repo_type`. If you are trying to access a \
                 private or gated repo, make sure you are authenticated."
            ))
        }
        Some(Hub::Restricted) if token.is_some() => Some(restricted(
            403,
            &format!(
                " and you are not in the authorized list. Visit https://huggingface.co/{repository} to ask for access."
            ),
        )),
        Some(Hub::Unauthorized | Hub::Restricted) | None if token.is_none() && is_gated(repository) => {
            Some(restricted(401, ". You must have access to it and be authenticated to access it. Please log in."))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::controllers::faults::NoFaults;

    struct Says(Hub);

    impl Faults for Says {
        fn hub(&self, _: &str) -> Option<Hub> {
            Some(self.0)
        }
    }

    #[test]
    fn each_refusal_has_its_words() {
        let (open, gated) = ("Qwen/Qwen2.5-3B-Instruct", "meta-llama/Llama-3.1-8B-Instruct");
        let says = |faults: &dyn Faults, repository, token| refusal(faults, repository, token).unwrap_or_default();
        assert_eq!(says(&NoFaults, open, None), "");
        assert_eq!(says(&NoFaults, gated, Some("hf_x")), "");
        assert!(says(&NoFaults, gated, None).contains("GatedRepoError: 401"));
        assert!(says(&NoFaults, gated, Some(" ")).contains("Please log in"));
        assert!(says(&NoFaults, open, Some("hf_x\nhf_y")).contains("Invalid credentials"));
        assert!(says(&Says(Hub::Unauthorized), open, Some("hf_x")).contains("HfHubHTTPError: 401"));
        assert_eq!(says(&Says(Hub::Unauthorized), open, None), "", "no token is not a wrong one");
        assert!(says(&Says(Hub::Restricted), gated, Some("hf_x")).contains("not in the authorized list"));
        assert!(says(&Says(Hub::Missing), open, Some("hf_x")).contains("404 Client Error. Repository Not Found"));
        assert!(says(&Says(Hub::Unreachable), open, None).contains("timed out"));
    }
}
