//! How names, labels and annotations are written, in the API server's words. Not which names exist.

/// What the API server says about a text that is no DNS label.
pub const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and \
                         must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex \
                         used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
/// What the API server says about a text that is no DNS subdomain.
pub const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' \
                             or '.', and must start and end with an alphanumeric character (e.g. 'example.com', \
                             regex used for validation is \
                             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
/// What the API server says about the name of a Service.
pub const DNS_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                            alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or \
                            'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
/// What the API server says about the last part of a key of labels.
pub const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and \
                             end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex \
                             used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
/// What the API server says about a label's value.
pub const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' \
                               or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or \
                               'my_value',  or '12345', regex used for validation is \
                               '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
/// What the API server says about a key of a ConfigMap or Secret.
pub const DATA_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. \
                            'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is \
                            '[-._a-zA-Z0-9]+')";

/// `my-name`, of any length.
pub fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// `a.my-name`, of any length.
pub fn is_subdomain(text: &str) -> bool {
    !text.is_empty() && text.split('.').all(is_label)
}

/// `My_name.1`, of any length.
pub fn is_name_part(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = |c: char| c.is_ascii_alphanumeric();
    text.chars().all(inner) && text.starts_with(edge) && text.ends_with(edge)
}

/// Complaints about a DNS label.
pub fn label(text: &str) -> Option<String> {
    match text {
        _ if text.len() > 63 => Some("must be no more than 63 bytes".to_owned()),
        _ if !is_label(text) => Some(LABEL.to_owned()),
        _ => None,
    }
}

/// Complaints about a DNS subdomain.
pub fn subdomain(text: &str) -> Option<String> {
    match text {
        _ if text.len() > 253 => Some("must be no more than 253 characters".to_owned()),
        _ if !is_subdomain(text) => Some(SUBDOMAIN.to_owned()),
        _ => None,
    }
}

/// Complaints about the name of a port: `http-web`.
pub fn port_name(text: &str) -> Option<&'static str> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.len() > 15 {
        Some("must be no more than 15 characters")
    } else if !text.chars().all(inner) {
        Some("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    } else if !text.contains(|c: char| c.is_ascii_lowercase()) {
        Some("must contain at least one letter (a-z)")
    } else if text.contains("--") {
        Some("must not contain consecutive hyphens")
    } else if text.starts_with('-') || text.ends_with('-') {
        Some("must not begin or end with a hyphen")
    } else {
        None
    }
}

/// Complaints about the name of an environment variable: anything printable but `=`.
pub fn variable(text: &str) -> Option<&'static str> {
    let fine = !text.is_empty() && text.chars().all(|c| (' '..='~').contains(&c) && c != '=');
    (!fine)
        .then_some("a valid environment variable name must consist only of printable ASCII characters other than '='")
}

/// Complaints about a qualified name such as a label's key.
pub fn qualified_name(key: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let name = match key.split_once('/') {
        Some((prefix, name)) => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else if !is_subdomain(prefix) {
                errors.push(format!("prefix part {SUBDOMAIN}"));
            }
            name
        }
        None => key,
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        errors.push("name part must be no more than 63 bytes".to_owned());
    }
    if !is_name_part(name) {
        errors.push(NAME_PART.to_owned());
    }
    errors
}

/// Complaints about a label's value.
pub fn label_value(text: &str) -> Option<&'static str> {
    if text.len() > 63 {
        Some("must be no more than 63 bytes")
    } else if !text.is_empty() && !is_name_part(text) {
        Some(LABEL_VALUE)
    } else {
        None
    }
}

/// Complaints about a key of a ConfigMap or Secret.
pub fn data_key(key: &str) -> Option<&'static str> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if key.len() > 253 {
        Some("must be no more than 253 characters")
    } else if key.is_empty() || !key.chars().all(fine) {
        Some(DATA_KEY)
    } else if key == "." || key == ".." || key.starts_with("..") {
        Some("must not be '.' or '..' and not start with '..'")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_names() {
        assert!(is_label("a-b1") && !is_label("A") && !is_label("-a") && !is_label(""));
        assert!(is_subdomain("a.b") && !is_subdomain("a..b") && !is_subdomain("a_b"));
        assert!(qualified_name("example.com/My_name").is_empty());
        assert_eq!(qualified_name("bad key!"), [NAME_PART]);
        assert_eq!(qualified_name("/x"), ["prefix part must be non-empty"]);
        assert!(label_value("v1.2_x").is_none() && label_value("").is_none() && label_value("a b").is_some());
        assert!(port_name("http-web").is_none() && port_name("80").is_some() && port_name("a--b").is_some());
        assert!(port_name("longer-than-fifteen").is_some() && port_name("Http").is_some());
        assert!(data_key("tls.crt").is_none() && data_key("a/b").is_some() && data_key("..x").is_some());
        assert!(variable("A.b-c").is_none() && variable("A=B").is_some() && variable("").is_some());
        assert!(label(&"a".repeat(64)).is_some() && subdomain(&"a".repeat(254)).is_some());
    }
}
