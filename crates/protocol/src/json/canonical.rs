use super::{Json, Value};

impl Json<'_> {
    /// The one text that all spellings of this value share: RFC 8785. `None` where a number is beyond what a double
    /// holds, which that page knows nothing of.
    #[must_use]
    pub fn canonical(&self) -> Option<String> {
        let mut text = String::with_capacity(self.text.len());
        write(self, &mut text)?;
        Some(text)
    }
}

fn write(json: &Json<'_>, text: &mut String) -> Option<()> {
    match &json.value {
        Value::Null | Value::Bool(_) => text.push_str(json.text),
        Value::Number => write_number(json.text.parse().ok()?, text)?,
        Value::String(string) => write_string(string, text),
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                text.push(if index == 0 { '[' } else { ',' });
                write(element, text)?;
            }
            text.push_str(if elements.is_empty() { "[]" } else { "]" });
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            // By UTF-16: beyond the basic plane that isn't the order of code points (section 3.2.3).
            sorted.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
            for (index, (name, member)) in sorted.into_iter().enumerate() {
                text.push(if index == 0 { '{' } else { ',' });
                write_string(name, text);
                text.push(':');
                write(member, text)?;
            }
            text.push_str(if members.is_empty() { "{}" } else { "}" });
        }
    }
    Some(())
}

/// `serde_json` escapes exactly what section 3.2.2.2 wants escaped, and as it wants it.
fn write_string(string: &str, text: &mut String) {
    text.push_str(&serde_json::to_string(string).expect("a text is always JSON"));
}

/// The fewest digits that tell a number from all others, in the form `d.ddde-n`. Of two that do equally well, ECMA-262
/// wants the even one (`Number::toString`, note 2), which Rust gives only where it is told how many digits to give.
fn shortest(number: f64) -> String {
    let shortest = format!("{number:e}");
    let digits = shortest.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
    let nearest = format!("{number:.0$e}", digits - 1);
    if nearest.parse() == Ok(number) { nearest } else { shortest }
}

/// As ECMAScript prints a number (ECMA-262, `Number::toString`).
fn write_number(number: f64, text: &mut String) -> Option<()> {
    if !number.is_finite() {
        return None;
    }
    if number == 0.0 {
        text.push('0');
        return Some(());
    }
    let scientific = shortest(number.abs());
    let (mantissa, exponent) = scientific.split_once('e')?;
    let digits = mantissa.replace('.', "");
    let count = i32::try_from(digits.len()).ok()?;
    // The number is 0.digits times ten to the power of `point`.
    let point = exponent.parse::<i32>().ok()? + 1;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    if number < 0.0 {
        text.push('-');
    }
    match usize::try_from(point) {
        Ok(before) if before > 0 && point <= 21 => {
            let (whole, fraction) = digits.split_at(before.min(digits.len()));
            text.push_str(whole);
            text.push_str(&zeros(point - count));
            if !fraction.is_empty() {
                text.push('.');
                text.push_str(fraction);
            }
        }
        _ if -6 < point && point <= 0 => {
            text.push_str("0.");
            text.push_str(&zeros(-point));
            text.push_str(&digits);
        }
        _ => {
            let sign = if point > 0 { '+' } else { '-' };
            text.push_str(mantissa);
            text.push('e');
            text.push(sign);
            text.push_str(&(point - 1).unsigned_abs().to_string());
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::parse;

    fn canonical(text: &str) -> String {
        parse(text.as_bytes()).unwrap().canonical().unwrap()
    }

    /// RFC 8785 sections 3.2.2 and 3.2.3.
    #[test]
    fn the_rfcs_examples() {
        assert_eq!(
            canonical(
                r#"{
                  "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
                  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
                  "literals": [null, true, false]
                }"#
            ),
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
        assert_eq!(
            canonical(
                r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
                    "\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#
            ),
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"ö\":\"Latin Small Letter O With \
             Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With \
             Dagesh\"}"
        );
    }

    /// RFC 8785 appendix B.
    #[test]
    fn the_rfcs_numbers() {
        for (bits, expected) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            let mut text = String::new();
            write_number(f64::from_bits(bits), &mut text).unwrap();
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_number_beyond_all_doubles_has_no_canonical_text() {
        for text in ["1e400", "[-1e400]", r#"{"a":{"b":1e999}}"#] {
            assert_eq!(parse(text.as_bytes()).unwrap().canonical(), None, "{text}");
        }
        assert_eq!(canonical(" [ ] "), "[]");
        assert_eq!(canonical("{\n}"), "{}");
    }

    proptest! {
        #[test]
        fn a_canonical_text_says_the_same_and_is_its_own(number: f64, name: String, other: String) {
            let mut value = serde_json::json!({ other.as_str(): [name], "b": null, "a": true });
            value["a"] = serde_json::json!({ name.as_str(): i64::from(number.is_sign_negative()), "": {} });
            let text = canonical(&value.to_string());
            prop_assert_eq!(canonical(&text), text.clone());
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
            let text = canonical(&format!("{number:?}"));
            prop_assert_eq!(canonical(&text), text.clone());
            prop_assert_eq!(text.parse(), Ok(number));
        }
    }
}
