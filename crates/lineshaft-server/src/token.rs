//! The home's token: what a TCP client must know.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::Error;
use crate::home::write_private;

const TOKEN_BYTES: usize = 32;

/// The secret of `run/token`, 32 random bytes in hexadecimal.
pub(crate) struct Token(String);

impl Token {
    /// The token in the file at `path`; makes one where there is none. It outlives the server, so that clients on
    /// other hosts need not be told a new one at every start.
    pub(crate) fn load_or_create(path: &Path) -> Result<Self, Error> {
        if let Some(token) = std::fs::read_to_string(path).ok().filter(|text| is_token(text.trim_end())) {
            return Ok(Self(token.trim_end().to_owned()));
        }
        let token = random_token().map_err(Error::home("read", Path::new("/dev/urandom")))?;
        write_private(path, &format!("{token}\n"))?;
        Ok(Self(token))
    }

    /// Whether `offered` is the token. Takes the same time wherever the two differ.
    pub(crate) fn admits(&self, offered: &str) -> bool {
        let (own, offered) = (self.0.as_bytes(), offered.as_bytes());
        if own.len() != offered.len() {
            return false;
        }
        let difference = own.iter().zip(offered).fold(0, |difference, (a, b)| difference | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

fn is_token(text: &str) -> bool {
    text.len() == 2 * TOKEN_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn random_token() -> std::io::Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |mut token, byte| {
        let _ = write!(token, "{byte:02x}");
        token
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_made_once_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let token = Token::load_or_create(&path).unwrap().0;
        assert!(is_token(&token), "{token}");
        assert_eq!(Token::load_or_create(&path).unwrap().0, token);
        std::fs::write(&path, "cut off").unwrap();
        assert_ne!(Token::load_or_create(&path).unwrap().0, token);
    }

    #[test]
    fn only_the_token_is_admitted() {
        let token = Token("0123".to_owned());
        assert!(token.admits("0123"));
        for wrong in ["", "012", "01234", "1123", "0124"] {
            assert!(!token.admits(wrong), "{wrong}");
        }
    }
}
