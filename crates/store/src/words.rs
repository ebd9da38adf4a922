//! Words to search for.

/// Words, or their beginnings, all of which have to stand in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(Vec<String>);

impl Words {
    /// The words of what somebody typed: letters and digits, whatever stands between. Where there are none, nothing has them.
    pub fn parse(text: &str) -> Self {
        let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
        Self(words.map(str::to_owned).collect())
    }

    /// Whether there are none.
    pub(crate) fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// As PostgreSQL's text search reads them.
    pub(crate) fn as_query(&self) -> String {
        self.queries().join(" & ")
    }

    /// Each of them so.
    pub(crate) fn queries(&self) -> Vec<String> {
        self.0.iter().map(|word| format!("'{word}':*")).collect()
    }

    /// Each as a pattern of LIKE. Where a word stands in a text, its letters do.
    pub(crate) fn patterns(&self) -> Vec<String> {
        self.0.iter().map(|word| format!("%{word}%")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Words;

    #[test]
    fn only_letters_and_digits_are_words_whatever_is_typed() {
        for (text, query) in [
            ("Acme", "'Acme':*"),
            ("acme-render 2", "'acme':* & 'render':* & '2':*"),
            ("a' | 'b:* !c_%", "'a':* & 'b':* & 'c':*"),
            ("M\u{fc}ller", "'M\u{fc}ller':*"),
            (" '&|!() ", ""),
        ] {
            assert_eq!(Words::parse(text).as_query(), query, "{text}");
        }
    }
}
