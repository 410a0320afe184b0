//! `-m u32`.

use super::prelude::*;

/// Most tests of a rule, most numbers of a location, most ranges of a test (kernel `XT_U32_MAXSIZE`).
const MOST: usize = 10;

/// What is done with the word that was read so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `&`: keep these bits.
    And,
    /// `<<`: shift up, by 0 to 31.
    Left,
    /// `>>`: shift down, by 0 to 31.
    Right,
    /// `@`: go on from there by the word that was read, and read the word at this offset.
    At,
}

const OPERATORS: [(&str, Operator); 4] = [
    ("&", Operator::And),
    ("<<", Operator::Left),
    (">>", Operator::Right),
    ("@", Operator::At),
];

/// One test: a number made from the packet lies in one of the ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// Offset of the first word, from the start of the IP header.
    pub start: u32,
    /// What is done with it, at most nine steps.
    pub steps: Vec<(Operator, u32)>,
    /// First and last number of each range; one that is backwards holds nothing.
    pub ranges: Vec<(u32, u32)>,
}

/// `-m u32`: numbers anywhere in the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct U32(pub Not<Vec<Test>>);

impl Spec for U32 {
    const ROW: Extension = Extension::new("u32", Families::Both, "Numbers anywhere in the packet.")
        .options(&[opt(
            "u32",
            "TESTS",
            "as \"6 & 0xFF = 1 && 0 >> 22 & 0x3C @ 0 >> 24 = 0:3,8\"",
        )
        .not()
        .required()])
        .needs(&[Need::Network, Need::Transport, Need::Payload]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        loaded.need_not("u32", tests).map(U32)
    }

    fn write(&self, out: &mut Out) {
        out.bang(self.0.negated);
        out.opt("u32", format_args!("\"{}\"", shown(&self.0.value)));
    }

    fn list(&self, out: &mut Out) {
        out.word("u32");
        out.bang(self.0.negated);
        out.word(format_args!("\"{}\"", shown(&self.0.value)));
    }
}

fn shown(tests: &[Test]) -> String {
    let tests: Vec<String> = tests.iter().map(show).collect();
    tests.join("&&")
}

fn show(test: &Test) -> String {
    let mut text = format!("0x{:x}", test.start);
    for (operator, number) in &test.steps {
        let sign = OPERATORS.iter().find(|(_, o)| o == operator);
        text.push_str(sign.map_or("", |(sign, _)| sign));
        text.push_str(&format!("0x{number:x}"));
    }
    let ranges: Vec<String> = test
        .ranges
        .iter()
        .map(|&(first, last)| {
            if first == last {
                format!("0x{first:x}")
            } else {
                format!("0x{first:x}:0x{last:x}")
            }
        })
        .collect();
    format!("{text}={}", ranges.join(","))
}

/// The tests' text as far as it is read.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        let behind = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
        self.at += rest.len() - behind.len();
    }

    /// A sign, if it stands here.
    fn take(&mut self, sign: &str) -> bool {
        let there = self.rest().starts_with(sign);
        if there {
            self.at += sign.len();
        }
        there
    }

    /// A number as `strtoul` takes it: as many characters as make one.
    fn number(&mut self) -> Value<u32> {
        let bad = self.bad(
            "a number from 0 to 4294967295",
            "not a number or out of range",
        );
        self.blanks();
        self.take("+");
        let rest = self.rest();
        let hex = rest
            .strip_prefix("0x")
            .or_else(|| rest.strip_prefix("0X"))
            .filter(|digits| digits.starts_with(|c: char| c.is_ascii_hexdigit()));
        let (digits, base) = match hex {
            Some(digits) => (digits, 16),
            None if rest.starts_with('0') => (rest, 8),
            None => (rest, 10),
        };
        let length = digits
            .find(|c: char| !c.is_digit(base))
            .unwrap_or(digits.len());
        let number = digits
            .get(..length)
            .and_then(|d| u32::from_str_radix(d, base).ok());
        self.at += rest.len() - digits.len() + length;
        number.ok_or(bad)
    }

    /// Something else stands here than is expected.
    fn bad(&self, expected: &str, said: &str) -> Bad {
        let found = match self.rest() {
            "" => "the tests end".to_string(),
            rest => format!("'{rest}' stands"),
        };
        Bad::new(format!("{found} where {expected} is expected"))
            .help("6&0xFF=1, tests joined by &&, numbers by commas")
            .said(self.here(said))
    }

    fn too_many(&self, what: &str, said: &str) -> Bad {
        Bad::new(format!("there are more than {MOST} {what}")).said(self.here(said))
    }

    fn here(&self, said: &str) -> String {
        format!("u32: at char {}: {said}", self.at)
    }

    /// The tests end before a location does.
    fn goes_on(&mut self, expected: &str) -> Value<()> {
        self.blanks();
        match self.rest() {
            "" => Err(self
                .bad(expected, "")
                .said("u32: abrupt end of input after location specifier")),
            _ => Ok(()),
        }
    }
}

fn tests(text: &str) -> Value<Vec<Test>> {
    let mut cursor = Cursor { text, at: 0 };
    let mut tests = Vec::new();
    loop {
        tests.push(test(&mut cursor)?);
        cursor.blanks();
        let ends = cursor.rest().is_empty();
        if tests.len() > MOST {
            // The real program looks at the second sign of "&&", or at the end.
            cursor.at += usize::from(!ends);
            return Err(cursor.too_many("tests", "too many \"&&\"s"));
        }
        if ends {
            return Ok(tests);
        }
        if !cursor.take("&") {
            return Err(cursor.bad("',' or '&&'", "expected \",\" or \"&&\""));
        }
        if !cursor.take("&") {
            return Err(cursor.bad("a second '&'", "a second '&' was expected"));
        }
    }
}

fn test(cursor: &mut Cursor<'_>) -> Value<Test> {
    cursor.goes_on("a number")?;
    if cursor.rest().starts_with('=') {
        return Err(cursor.bad("a number", "location spec missing"));
    }
    let mut test = Test {
        start: cursor.number()?,
        steps: Vec::new(),
        ranges: Vec::new(),
    };
    loop {
        cursor.goes_on("'='")?;
        if cursor.take("=") {
            break;
        }
        let Some(&(_, operator)) = OPERATORS.iter().find(|(sign, _)| cursor.take(sign)) else {
            for sign in ["<", ">"] {
                if cursor.take(sign) {
                    let said = format!("a second '{sign}' was expected");
                    return Err(cursor.bad(&format!("a second '{sign}'"), &said));
                }
            }
            return Err(cursor.bad("'=' or an operator (& << >> @)", "operator expected"));
        };
        let number = cursor.number()?;
        if matches!(operator, Operator::Left | Operator::Right) && number >= 32 {
            let text = format!("a shift by {number}: the kernel takes 0 to 31");
            return Err(Bad::new(text).by_kernel());
        }
        test.steps.push((operator, number));
        if test.steps.len() >= MOST {
            return Err(cursor.too_many("numbers before '='", "too many operators"));
        }
    }
    cursor.blanks();
    if cursor.rest().is_empty() {
        let bad = cursor.bad("a number", "");
        return Err(bad.said("u32: test ended with no value specified"));
    }
    loop {
        let first = cursor.number()?;
        cursor.blanks();
        let last = if cursor.take(":") {
            cursor.number()?
        } else {
            first
        };
        test.ranges.push((first, last));
        if test.ranges.len() > MOST {
            return Err(cursor.too_many("ranges behind '='", "too many \",\"s"));
        }
        cursor.blanks();
        if !cursor.take(",") {
            return Ok(test);
        }
    }
}
