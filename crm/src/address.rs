//! Addresses of accounts as people copy them: without `https://`, with the path of the page they were looking at.

use engine::failure::{Class, Failure};
use url::Url;

use crate::http::is_loopback;

/// How a system's addresses look.
pub(crate) struct Form {
    /// One of them, for messages.
    pub(crate) example: &'static str,
    /// Paths of the system's own pages and APIs, which are cut off; in small letters.
    pub(crate) own_paths: &'static [&'static str],
}

/// The address of an environment or organisation, with `/` as its path. `what` names the key in messages.
pub(crate) fn root(what: &str, text: &str, form: &Form) -> Result<Url, Failure> {
    let mut url = address(what, text, form.example)?;
    let path = url.path().trim_end_matches('/').to_ascii_lowercase();
    let is_own =
        |own: &&'static str| path.strip_prefix(*own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let is_foreign = !path.is_empty() && !form.own_paths.iter().any(is_own);
    let message = format!("{what} has a path, {}", url.path());
    url.set_path("/");
    url.set_query(None);
    url.set_fragment(None);
    if is_foreign { Err(config(message, &format!("write `{url}`"))) } else { Ok(url) }
}

/// Any address of an account. One without a scheme is taken for `https://`; host and scheme become lower case, a port
/// that is the scheme's own disappears.
pub(crate) fn address(what: &str, text: &str, example: &str) -> Result<Url, Failure> {
    let text = text.trim();
    let such_as = format!("write it with https://, such as {example}");
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let joined: String = text.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
        let help = address(what, &joined, example).map_or(such_as, |url| format!("write `{url}`"));
        return Err(config(format!("{what} has a space inside it"), &help));
    }
    let complete = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&complete).map_err(|error| config(format!("{what} is not an address: {error}"), &such_as))?;
    let host = url.host_str().unwrap_or("no host");
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        scheme => {
            let help = format!("write `https://{host}/`; http:// is accepted for loopback addresses only");
            return Err(config(format!("{what} uses {scheme}:// on {host}, which is not encrypted"), &help));
        }
    }
    if url.host_str().is_none() || !url.username().is_empty() || url.password().is_some() {
        return Err(config(
            format!("{what} must be a host without user or password"),
            &format!("write `https://{host}/`"),
        ));
    }
    Ok(url)
}

fn config(message: String, help: &str) -> Failure {
    Failure::new(Class::Config, message).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Form = Form { example: "https://contoso.crm4.dynamics.com", own_paths: &["/api/data", "/main.aspx"] };

    #[test]
    fn an_address_means_the_same_however_it_was_copied() {
        for text in [
            "https://org123abc.dynamics.com/",
            "https://org123abc.dynamics.com",
            "org123abc.dynamics.com",
            "  Org123ABC.Dynamics.com/ ",
            "org123abc.dynamics.com:443/main.aspx?appid=1#x",
            "https://org123abc.dynamics.com/api/data/v9.0/",
            "HTTPS://org123abc.dynamics.com//",
        ] {
            let url = root("dynamics: `url`", text, &FORM).map(String::from);
            assert_eq!(url.as_deref().ok(), Some("https://org123abc.dynamics.com/"), "{text}: {url:?}");
        }
        assert_eq!(root("x", "http://127.0.0.1:8080", &FORM).unwrap().as_str(), "http://127.0.0.1:8080/");
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_the_right_form() {
        for (text, reason, help) in [
            ("http://org123abc.dynamics.com", "not encrypted", "write `https://org123abc.dynamics.com/`"),
            ("ftp://org123abc.dynamics.com", "not encrypted", "write `https://org123abc.dynamics.com/`"),
            (
                "https://org123abc.dynamics.com/contacts",
                "has a path, /contacts",
                "write `https://org123abc.dynamics.com/`",
            ),
            (
                "org123abc.dynamics.com/api/database",
                "has a path, /api/database",
                "write `https://org123abc.dynamics.com/`",
            ),
            ("https://a:b@org123abc.dynamics.com", "without user", "write `https://org123abc.dynamics.com/`"),
            ("https://org123 abc.dynamics.com", "a space inside", "write `https://org123abc.dynamics.com/`"),
            ("a <b>", "a space inside", "such as https://contoso.crm4.dynamics.com"),
            ("", "not an address", "such as"),
            ("https://", "not an address", "such as"),
        ] {
            let failure = root("dynamics: `url`", text, &FORM).unwrap_err();
            assert!(failure.class == Class::Config && failure.message.contains(reason), "{text}: {failure}");
            assert!(failure.help.as_deref().unwrap_or_default().contains(help), "{text}: {failure}");
            assert!(!format!("{failure:?}").contains("a:b"), "{failure:?}");
        }
    }
}
