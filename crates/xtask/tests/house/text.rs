//! Reading source text as far as the rules need it: without comments, with or without what stands in quotes, without
//! the tests.

/// What of a Rust source is kept, the rest being spaces; lines stay where they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Code, with every literal empty.
    Code,
    /// Code and literals.
    CodeAndLiterals,
    /// Literals alone.
    Literals,
}

/// The source without comments, and without its unit tests (`#[cfg(test)] mod … { … }`).
pub(crate) fn strip(source: &str, keep: Keep) -> String {
    let code = blanked(source, true);
    let mut kept = match keep {
        Keep::Code => code.clone(),
        Keep::CodeAndLiterals | Keep::Literals => blanked(source, false),
    }
    .into_bytes();
    if keep == Keep::Literals {
        // What is in both is no literal.
        for (byte, in_code) in kept.iter_mut().zip(code.bytes()) {
            if *byte == in_code && *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    for (start, end) in unit_tests(&code) {
        blank(&mut kept[start..end]);
    }
    String::from_utf8(kept).unwrap()
}

/// SQL without its comments.
pub(crate) fn strip_sql(source: &str) -> String {
    let lines = source.lines().map(|line| line.split_once("--").map_or(line, |(before, _)| before));
    lines.collect::<Vec<_>>().join("\n")
}

/// The source with spaces for its comments, and for its literals too if asked.
fn blanked(source: &str, literals_too: bool) -> String {
    let mut out = source.as_bytes().to_vec();
    let mut at = 0;
    while at < out.len() {
        let rest = &source.as_bytes()[at..];
        let previous = at.checked_sub(1).map_or(b' ', |before| source.as_bytes()[before]);
        let (length, is_literal) = match rest {
            [b'/', b'/', ..] => (find(rest, b"\n"), false),
            [b'/', b'*', ..] => (block_comment(rest), false),
            [b'"', ..] => (quoted(rest), true),
            [b'r', b'"' | b'#', ..] if !is_word(previous) || previous == b'b' => match raw(rest) {
                Some(length) => (length, true),
                None => (0, true),
            },
            [b'\'', ..] => (character(rest), true),
            _ => (0, true),
        };
        if !is_literal || literals_too {
            blank(&mut out[at..at + length]);
        }
        at += length.max(1);
    }
    String::from_utf8(out).unwrap()
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where a needle begins, or the length.
fn find(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).position(|window| window == needle).unwrap_or(bytes.len())
}

/// The length of a block comment, which may hold others.
fn block_comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The length of a raw string, `r"…"` or `r#"…"#`; nothing for a raw name.
fn raw(bytes: &[u8]) -> Option<usize> {
    let hashes = bytes[1..].iter().take_while(|&&byte| byte == b'#').count();
    let opening = hashes + 2;
    if bytes.get(hashes + 1) != Some(&b'"') {
        return None;
    }
    let closing = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    Some((opening + find(&bytes[opening..], &closing) + closing.len()).min(bytes.len()))
}

/// The length of a character, `'x'` or `'\n'`; nothing for the sign of a lifetime.
fn character(bytes: &[u8]) -> usize {
    match bytes {
        [_, b'\\', _, rest @ ..] => 3 + find(rest, b"'") + 1,
        [_, rest @ ..] => {
            let width = std::str::from_utf8(&rest[..rest.len().min(4)]).map_or_else(
                |error| if error.valid_up_to() > 0 { 1 } else { 4 },
                |text| text.chars().next().map_or(1, char::len_utf8),
            );
            if rest.get(width) == Some(&b'\'') { width + 2 } else { 0 }
        }
        [] => 0,
    }
}

/// Where the unit tests of a stripped source begin and end.
fn unit_tests(code: &str) -> Vec<(usize, usize)> {
    let starts = code.match_indices("#[cfg(test)]").map(|(start, _)| start);
    starts.filter_map(|start| Some((start, start + module(&code[start..])?))).collect()
}

/// The length of `#[…] mod name { … }`; nothing when what follows isn't a module with a body.
fn module(code: &str) -> Option<usize> {
    let open = code.find('{')?;
    if !code[..open].contains("mod ") || code[..open].contains(';') {
        return None;
    }
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

#[test]
fn comments_literals_and_tests_go_and_lines_stay() {
    let source = r##"
let a = "now() // not a comment \" still"; // now()
let b = r#"a "quote" now()"#; /* now() /* nested */ now() */ let c = 'x'; let d: &'static str = '\'';
let r#type = b'"'; call();
#[cfg(test)]
mod tests {
    fn f() { now("}") }
}
fn after<'a>(x: &'a str) {}
"##;
    let code = strip(source, Keep::Code);
    assert_eq!(code.lines().count(), source.lines().count());
    assert!(!code.contains("now"), "{code}");
    for kept in ["let c =", "let d: &'static str =", "let r#type =", "call();", "fn after<'a>(x: &'a str) {}"]
    {
        assert!(code.contains(kept), "{kept}\n{code}");
    }
    let both = strip(source, Keep::CodeAndLiterals);
    assert_eq!((both.matches("now()").count(), both.matches("call()").count()), (2, 1), "{both}");
    let literals = strip(source, Keep::Literals);
    assert_eq!((literals.matches("now()").count(), literals.matches("call()").count()), (2, 0), "{literals}");
    assert_eq!(literals.lines().count(), source.lines().count());
}
