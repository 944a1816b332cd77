//! What a container said before it died, and whether it would say the same the next time.
//!
//! Pure over the tail of a log. Model servers print a page of traceback, and the last line is often that of a parent
//! process that knows nothing; the table has the words that matter.

/// Lines to ask for: a traceback with its root cause fits.
pub const TAIL: usize = 60;

/// What a program says when it cannot run with what it was given, however often it is started. Words of vLLM, of
/// Hugging Face's client, of PyTorch and XLA, and of argument parsers.
const HOPELESS: &[&str] = &[
    "is only supported on GPUs with compute capability",
    "with compute capability below",
    "is greater than the derived max_model_len",
    "is larger than the available KV cache memory",
    "No available memory for the cache blocks",
    "CUDA out of memory",
    "RESOURCE_EXHAUSTED: ",
    "must be divisible by tensor parallel size",
    "is larger than the number of available GPUs",
    "exceeds the number of available TPU chips",
    "GatedRepoError",
    "RepositoryNotFoundError",
    "401 Client Error",
    "403 Client Error",
    "Invalid repository ID or local directory specified",
    "is not a valid model identifier",
    "Unable to locate credentials",
    "unrecognized arguments:",
    "invalid choice:",
];

/// What a parent says of a child that died: true, and no cause.
const EMPTY: &[&str] = &["Engine core initialization failed", "Traceback (most recent call last)"];

/// The line that says why, shortened and without tokens; whether another start would end the same way.
pub fn of(log: &str) -> Option<(String, bool)> {
    let lines = || log.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    if let Some(line) = lines().find(|line| HOPELESS.iter().any(|words| line.contains(words))) {
        return Some((tidy(line), true));
    }
    let spoken = || lines().filter(|line| !EMPTY.iter().any(|words| line.contains(words)));
    let is_error = |line: &&str| {
        let word = line.split(": ").next().unwrap_or_default().rsplit(' ').next().unwrap_or_default();
        ["Error", "Exception", "error", "fatal", "panic"].iter().any(|end| word.ends_with(end))
    };
    spoken().find(is_error).or_else(|| spoken().next()).map(|line| (tidy(line), false))
}

/// What a container that runs and waits says of that, when it looks for something in vain again and again: the line
/// before the last. Words of NVIDIA's validator.
pub fn waiting(log: &str) -> Option<String> {
    let mut lines = log.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    lines.next().filter(|line| line.contains("command failed, retrying after"))?;
    lines.next().map(tidy)
}

/// From the name of the error on, without the prefix of a logger; tokens are masked.
fn tidy(line: &str) -> String {
    let from = line.find("Error: ").map_or(0, |at| {
        line[..at].rfind(|c: char| !(c.is_alphanumeric() || c == '.' || c == '_')).map_or(0, |before| before + 1)
    });
    let words = line[from..].split(' ').map(|word| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
        match bare.starts_with("hf_") && bare.len() > 8 {
            true => word.replace(bare, "(sensitive)"),
            false => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ").chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_cause_is_found_above_the_last_line() {
        let log = "INFO starting\n(EngineCore_DP0 pid=271) ERROR [core.py:708] ValueError: Bfloat16 is only supported on \
                   GPUs with compute capability of at least 8.0. Your Tesla T4 GPU has 7.5.\nRuntimeError: Engine core \
                   initialization failed. See root cause above.\n\n";
        let (line, hopeless) = of(log).expect("words");
        assert!(hopeless && line.starts_with("ValueError: Bfloat16 is only supported"), "{line}");
    }

    #[test]
    fn an_error_goes_before_chatter_and_may_pass() {
        let log = "Traceback (most recent call last):\nConnectionError: no route to db\nshutting down";
        assert_eq!(of(log), Some(("ConnectionError: no route to db".to_owned(), false)));
        assert_eq!(of("bye"), Some(("bye".to_owned(), false)));
        assert_eq!(of(" \n"), None);
        assert_eq!(of("Traceback (most recent call last):"), None);
    }

    #[test]
    fn a_wait_is_told_from_work() {
        let log = "starting\nnvidia-smi: not found\ncommand failed, retrying after 5 seconds\n";
        assert_eq!(waiting(log).as_deref(), Some("nvidia-smi: not found"));
        assert_eq!(waiting("Fetching 7 files\n"), None);
    }

    #[test]
    fn tokens_are_masked() {
        let (line, hopeless) = of("OSError: 401 Client Error for token 'hf_abcdefghijkl'").expect("words");
        assert_eq!((line.as_str(), hopeless), ("OSError: 401 Client Error for token '(sensitive)'", true));
    }
}
