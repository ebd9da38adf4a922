use std::borrow::Cow;

use super::{Json, Malformed, Value};

/// How deep arrays and objects may stand within one another, the outermost counting as 1.
pub const MAX_DEPTH: usize = 32;

/// Reads a JSON text.
pub fn parse(bytes: &[u8]) -> Result<Json<'_>, Malformed> {
    let text = str::from_utf8(bytes).map_err(|_| Malformed::Utf8)?;
    let mut parser = Parser { text, at: 0 };
    parser.skip_white_space();
    let json = parser.value(MAX_DEPTH)?;
    parser.skip_white_space();
    if parser.at < text.len() { Err(parser.syntax()) } else { Ok(json) }
}

struct Parser<'a> {
    text: &'a str,
    /// INVARIANT(boundary): the byte to be read next; always between two characters, for only ASCII is stepped
    /// over one byte at a time.
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn syntax(&self) -> Malformed {
        Malformed::Syntax(self.at)
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().position(|byte| !wanted(*byte)).unwrap_or(rest.len());
    }

    fn skip_white_space(&mut self) {
        self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    /// Steps over an ASCII character if it comes next.
    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Malformed> {
        if self.take(wanted) { Ok(()) } else { Err(self.syntax()) }
    }

    /// Reads a value in which arrays and objects may be `depth` deep.
    fn value(&mut self, depth: usize) -> Result<Json<'a>, Malformed> {
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Value::String(self.string()?),
            Some(b't') => self.literal("true", Value::Bool(true))?,
            Some(b'f') => self.literal("false", Value::Bool(false))?,
            Some(b'n') => self.literal("null", Value::Null)?,
            _ => self.number()?,
        };
        Ok(Json { text: &self.text[start..self.at], value })
    }

    fn literal(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Malformed> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.syntax());
        }
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<Value<'a>, Malformed> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(Value::Number)
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        self.skip_while(|byte| byte.is_ascii_digit());
        if self.at == start { Err(self.syntax()) } else { Ok(()) }
    }

    fn array(&mut self, depth: usize) -> Result<Value<'a>, Malformed> {
        let depth = depth.checked_sub(1).ok_or(Malformed::TooDeep(self.at))?;
        self.expect(b'[')?;
        self.skip_white_space();
        let mut elements = Vec::new();
        if self.take(b']') {
            return Ok(Value::Array(elements));
        }
        loop {
            self.skip_white_space();
            elements.push(self.value(depth)?);
            self.skip_white_space();
            if self.take(b']') {
                return Ok(Value::Array(elements));
            }
            self.expect(b',')?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, Malformed> {
        let start = self.at;
        let depth = depth.checked_sub(1).ok_or(Malformed::TooDeep(start))?;
        self.expect(b'{')?;
        self.skip_white_space();
        let mut members = Vec::new();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.skip_white_space();
            let name = self.string()?;
            self.skip_white_space();
            self.expect(b':')?;
            self.skip_white_space();
            members.push((name, self.value(depth)?));
            self.skip_white_space();
            if self.take(b'}') {
                break;
            }
            self.expect(b',')?;
        }
        if has_duplicate(&members) { Err(Malformed::Duplicate(start)) } else { Ok(Value::Object(members)) }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.expect(b'"')?;
        let start = self.at;
        self.skip_plain();
        if self.peek() == Some(b'"') {
            let plain = &self.text[start..self.at];
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        let mut resolved = self.text[start..self.at].to_owned();
        loop {
            if self.take(b'"') {
                return Ok(Cow::Owned(resolved));
            }
            // A control character ends up here as well, and isn't a backslash.
            self.expect(b'\\')?;
            resolved.push(self.escape()?);
            let start = self.at;
            self.skip_plain();
            resolved.push_str(&self.text[start..self.at]);
        }
    }

    fn skip_plain(&mut self) {
        self.skip_while(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    }

    /// Reads what follows a backslash.
    fn escape(&mut self) -> Result<char, Malformed> {
        let escaped = match self.peek() {
            Some(same @ (b'"' | b'\\' | b'/')) => char::from(same),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.syntax()),
        };
        self.at += 1;
        Ok(escaped)
    }

    fn unicode_escape(&mut self) -> Result<char, Malformed> {
        let start = self.at;
        let first = self.hex4()?;
        let scalar = if matches!(first, 0xd800..0xdc00) && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            let second = self.hex4()?;
            // A second half that is none leaves a number that is no character.
            let low = if matches!(second, 0xdc00..0xe000) {
                second - 0xdc00
            } else {
                return Err(Malformed::Syntax(start));
            };
            0x1_0000 + ((first - 0xd800) << 10) + low
        } else {
            first
        };
        char::from_u32(scalar).ok_or(Malformed::Syntax(start))
    }

    fn hex4(&mut self) -> Result<u32, Malformed> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or(self.syntax())?;
        let mut code = 0;
        for digit in digits {
            code = code * 16 + char::from(*digit).to_digit(16).ok_or(self.syntax())?;
        }
        self.at += 4;
        Ok(code)
    }
}

/// Whether two members have one name. Sorting keeps an object of a hundred thousand members cheap.
fn has_duplicate(members: &[(Cow<'_, str>, Json<'_>)]) -> bool {
    let mut names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> Malformed {
        parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn values_keep_their_text() {
        let json = parse(b" { \"a\" : [ 1e999 , -0.50 ] , \"b\":\"\\u00fc\" }\r\n").unwrap();
        assert_eq!(json.text, "{ \"a\" : [ 1e999 , -0.50 ] , \"b\":\"\\u00fc\" }");
        let Value::Object(members) = json.value else { panic!("{json:?}") };
        assert_eq!(members[0].1.text, "[ 1e999 , -0.50 ]");
        let Value::Array(numbers) = &members[0].1.value else { panic!("{members:?}") };
        assert_eq!([numbers[0].text, numbers[1].text], ["1e999", "-0.50"]);
        assert_eq!(members[1].1.value, Value::String("ü".into()));
    }

    #[test]
    fn strings_resolve_every_escape() {
        let json = parse(br#""\"\\\/\b\f\n\r\t\u0000\u00e9\ud83d\ude00x""#).unwrap();
        assert_eq!(json.value, Value::String("\"\\/\u{8}\u{c}\n\r\t\0é😀x".into()));
        assert!(matches!(
            parse("\"plain ü\"".as_bytes()).unwrap().value,
            Value::String(Cow::Borrowed("plain ü"))
        ));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let texts = [
            "",
            " ",
            "\u{feff}{}",
            "{}x",
            "{} {}",
            "{",
            "[",
            "[1,]",
            "[,1]",
            "{,}",
            "{\"a\":1,}",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{'a':1}",
            "nul",
            "nulll",
            "True",
            "NaN",
            "Infinity",
            "-",
            "+1",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "0x1",
            "--1",
            "1 2",
            "\"",
            "\"\\",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\t\"",
            "\"\u{0}\"",
            "\"a\nb\"",
            "// c\n1",
            "/* c */ 1",
            "[1\u{b}]",
            "\u{a0}1",
            "{\"a\":1 \"b\":2}",
            "[1 2]",
            "]",
            "}",
            "[}",
            "{]",
        ];
        for text in texts {
            assert!(matches!(refused(text), Malformed::Syntax(_)), "{text:?}");
        }
        assert_eq!(parse(b"\"\xff\""), Err(Malformed::Utf8));
        assert_eq!(parse(b"\xff\xfe{\0}\0"), Err(Malformed::Utf8), "UTF-16");
        assert_eq!(parse(b"\"\xed\xa0\x80\""), Err(Malformed::Utf8), "a surrogate as such");
    }

    #[test]
    fn half_a_surrogate_pair_is_no_character() {
        for half in
            [r"\ud83d", r"\ude00", r"\ud83dx", r"\ud83d\n", r"\ud83d\u0041", r"\ud83d\ud83d", r"\ude00\ud83d"]
        {
            assert!(matches!(refused(&format!("\"{half}\"")), Malformed::Syntax(_)), "{half}");
            assert!(matches!(refused(&format!("{{\"{half}\":1}}")), Malformed::Syntax(_)), "{half}");
        }
    }

    #[test]
    fn a_member_twice_is_refused_at_any_depth_in_any_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"\u0061":3}"#,
            r#"[{"x":[{"y":{"\u00e9":1,"é":2}}]}]"#,
            r#"{"\ud83d\ude00":1,"😀":2}"#,
            r#"{"":1,"":2}"#,
        ] {
            assert!(matches!(refused(text), Malformed::Duplicate(_)), "{text}");
        }
        assert!(parse(r#"{"a":{"a":1},"b":{"a":2},"A":3,"é":4,"e\u0301":5}"#.as_bytes()).is_ok());
    }

    #[test]
    fn arrays_and_objects_go_32_deep() {
        let nested =
            |depth: usize, open: &str, close: &str| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            assert!(parse(nested(32, open, close).as_bytes()).is_ok());
            assert!(matches!(refused(&nested(33, open, close)), Malformed::TooDeep(_)));
        }
        assert!(matches!(refused(&"[".repeat(1_000_000)), Malformed::TooDeep(_)));
        assert!(matches!(refused(&"{\"a\":".repeat(1_000_000)), Malformed::TooDeep(_)));
    }

    #[test]
    fn an_object_of_many_members_is_read_in_time() {
        let members: Vec<_> = (0..100_000).map(|number| format!("\"{number}\":0")).collect();
        assert!(parse(format!("{{{}}}", members.join(",")).as_bytes()).is_ok());
    }

    /// JSON, and what is nearly JSON.
    fn texts() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            "[\\[\\]{}:,\" \\\\]{1,4}",
            "\"[a-c\\\\u0061é]{0,3}\"",
            "-?[0-9]{1,3}(\\.[0-9]+)?(e-?[0-9]+)?",
            "true|false|null",
            "\\{\"[ab]\":",
        ];
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _any = parse(&bytes);
        }

        /// Of what is no deeper than either bounds, both parsers take the same, duplicates aside.
        #[test]
        fn what_is_taken_is_what_serde_json_takes(text in texts()) {
            let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text);
            match parse(text.as_bytes()) {
                Ok(json) => prop_assert_eq!(json.text, theirs.unwrap().get()),
                Err(Malformed::Duplicate(_)) => {}
                Err(malformed) => {
                    // Raw values keep escapes unresolved, so theirs may hold half a pair.
                    let owned = serde_json::from_str::<serde_json::Value>(&text);
                    prop_assert!(owned.is_err(), "{malformed}: {text}");
                }
            }
        }

        #[test]
        fn strings_read_as_serde_json_wrote_them(text in "\\PC*|[\\x00-\\x1f\"\\\\]*") {
            let written = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(parse(written.as_bytes()).unwrap().value, Value::String(text.into()));
        }
    }
}
