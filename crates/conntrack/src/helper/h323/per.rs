//! Packed encoding rules (ITU-T X.691, aligned variant), as far as the kernel reads them.
//!
//! # Overview
//! A message is described by [`Kind`]s, constants that follow the types of H.225.0 and H.245.
//! [`decode`] walks along such a description and keeps the few fields that are marked, as a [`Value`]; of all
//! others it only finds out where they end. Widths are computed from the constraints.
//! # As the kernel
//! Messages may be cut short, garbled, or newer than this text. Whether a message counts then is decided as
//! the kernel's decoder does it (`nf_conntrack_h323_asn1.c`), which has habits of its own:
//! - A description may end early ([`Rest::Unread`]): what holds it is read on from where it stopped, though
//!   that may be the middle of a field.
//! - Extensions that are newer than the description are taken for present even if the bitmap denies them.
//! - A kept number is skipped twice, so that one too near to the end of the message spoils it.
//! - Length determinants need two bytes to be there, even where one is used.
//! # Bounds
//! Descriptions do not nest in themselves, so depth is bounded by their own; every list item takes at least
//! one bit; kept items are counted.

/// Number of values between two bounds, or of lengths.
type Bounds = (u32, u32);

/// A type, as far as it matters.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// NULL.
    Null,
    /// BOOLEAN.
    Bool,
    /// INTEGER between two bounds.
    Integer(u32, u32),
    /// INTEGER without bounds.
    AnyInteger,
    /// OBJECT IDENTIFIER.
    Oid,
    /// BIT STRING with a length between bounds; `None`: any.
    Bits(Option<Bounds>),
    /// Characters of four bits: NumericString, and IA5String of the digits of a telephone.
    Digits(u32, u32),
    /// OCTET STRING of this length. Kept: where it stands.
    Octets(u32),
    /// OCTET STRING of a length between bounds.
    SomeOctets(u32, u32),
    /// OCTET STRING of any length.
    AnyOctets,
    /// BMPString of a length between bounds.
    Wide(u32, u32),
    /// SEQUENCE or SET.
    Sequence(&'static Sequence),
    /// SEQUENCE OF.
    List(&'static Kind),
    /// SEQUENCE OF, of which at most so many are kept; each in a length of its own if `open`.
    Kept {
        /// What it is a list of.
        item: &'static Kind,
        /// How many are kept.
        most: usize,
        /// Whether each is wrapped.
        open: bool,
    },
    /// CHOICE.
    Choice(&'static Choice),
    /// Anything, in a length of its own.
    Open,
    /// An extension that is passed over by its length.
    Skip,
    /// Reading stops here, without complaint.
    Unread,
}

/// One component.
#[derive(Clone, Copy)]
pub(super) struct Field {
    name: &'static str,
    kind: Kind,
    optional: bool,
    kept: bool,
}

/// A component that must be there and is passed over.
pub(super) const fn field(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        optional: false,
        kept: false,
    }
}

/// A component that may be absent.
pub(super) const fn maybe(name: &'static str, kind: Kind) -> Field {
    Field {
        optional: true,
        ..field(name, kind)
    }
}

/// Passed over by its length, as extensions can be.
pub(super) const SKIP: Field = maybe("", Kind::Skip);

impl Field {
    /// Its value is wanted.
    pub(super) const fn keep(self) -> Field {
        Field { kept: true, ..self }
    }
}

/// What comes behind the components that are described.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing: the type is closed.
    Closed,
    /// Extensions of later versions.
    Newer,
    /// Extensions that are not read: reading stops.
    Unread,
    /// Root components of which so many are optional: reading stops before them.
    UnreadRoot(u32),
}

/// A SEQUENCE.
pub(super) struct Sequence {
    /// Whether it begins with the extension bit.
    pub(super) extensible: bool,
    /// Components of the first version.
    pub(super) root: &'static [Field],
    /// Extensions.
    pub(super) more: &'static [Field],
    /// What comes behind.
    pub(super) rest: Rest,
}

/// A SEQUENCE with all its components.
pub(super) const fn closed(root: &'static [Field]) -> Sequence {
    Sequence {
        extensible: false,
        root,
        more: &[],
        rest: Rest::Closed,
    }
}

/// A SEQUENCE with extensions, those that are known.
pub(super) const fn extensible(root: &'static [Field], more: &'static [Field]) -> Sequence {
    Sequence {
        extensible: true,
        root,
        more,
        rest: Rest::Newer,
    }
}

/// As [`extensible`], and reading stops behind the last one described.
pub(super) const fn unread(root: &'static [Field], more: &'static [Field]) -> Sequence {
    Sequence {
        rest: Rest::Unread,
        ..extensible(root, more)
    }
}

/// Reading stops within the root, of which so many optional components are not described.
pub(super) const fn unread_root(root: &'static [Field], optional: u32) -> Sequence {
    Sequence {
        rest: Rest::UnreadRoot(optional),
        ..extensible(root, &[])
    }
}

/// A CHOICE.
pub(super) struct Choice {
    /// Whether it begins with the extension bit.
    pub(super) extensible: bool,
    /// Alternatives of the first version.
    pub(super) root: &'static [Field],
    /// Later ones; of those beyond, the length is passed over.
    pub(super) more: &'static [Field],
}

/// A field that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Not kept, or without content.
    Nothing,
    /// Where its bytes begin.
    Place(usize),
    /// A number.
    Number(u32),
    /// The alternative that was chosen; empty name: a newer one.
    Choice(&'static str, Box<Value>),
    /// Components that are there.
    Sequence(Vec<(&'static str, Value)>),
    /// Items.
    List(Vec<Value>),
}

impl Value {
    /// A component that is there.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Sequence(fields) => fields.iter().find(|(n, _)| *n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// What stands in an alternative, if that is the chosen one.
    pub(super) fn chosen(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Choice(chosen, value) if *chosen == name => Some(value),
            _ => None,
        }
    }

    /// Items of a list.
    pub(super) fn items(&self) -> &[Value] {
        match self {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// A number.
    pub(super) fn number(&self) -> Option<u32> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Where the bytes of a component stand.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        match self.get(name) {
            Some(Value::Place(at)) => Some(*at),
            _ => None,
        }
    }
}

/// The message does not count: it ends too early, or says what cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault;

/// Reads a message that stands in `bytes` from `start` to the end. Places are counted from the start of
/// `bytes`.
///
/// # Errors
/// [`Fault`].
pub(super) fn decode(bytes: &[u8], start: usize, kind: &Kind) -> Result<Value, Fault> {
    let mut reader = Reader {
        bytes,
        at: start,
        bit: 0,
    };
    reader.read(kind, true)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    bit: u32,
}

impl Reader<'_> {
    /// That so many bytes and bits are there from here; a byte that is begun counts whole (kernel
    /// `nf_h323_error_boundary`).
    fn need(&self, bytes: usize, bits: u32) -> Result<(), Fault> {
        let bits = (bits + self.bit).div_ceil(8) as usize;
        if self.at + bytes + bits > self.bytes.len() {
            return Err(Fault);
        }
        Ok(())
    }

    fn byte(&self, at: usize) -> u32 {
        self.bytes.get(at).copied().map_or(0, u32::from)
    }

    fn next(&mut self) -> u32 {
        self.at += 1;
        self.byte(self.at - 1)
    }

    fn advance(&mut self, bits: u32) {
        let bits = self.bit + bits;
        self.at += (bits / 8) as usize;
        self.bit = bits % 8;
    }

    fn align(&mut self) {
        if self.bit > 0 {
            self.at += 1;
            self.bit = 0;
        }
    }

    /// At most eight bits, which must be there.
    fn bits(&mut self, count: u32) -> Result<u32, Fault> {
        self.need(0, count)?;
        let two = self.byte(self.at) << 8 | self.byte(self.at + 1);
        let value = (two << self.bit & 0xffff) >> (16 - count);
        self.advance(count);
        Ok(value)
    }

    /// At most 32 bits, the first one on top. Where they end with a fourth byte, the kernel forgets that they
    /// did not begin with the first.
    fn bitmap(&mut self, count: u32) -> Result<u32, Fault> {
        self.need(0, count)?;
        if count == 0 {
            return Ok(0);
        }
        let five = (0..5).fold(0u64, |sum, i| sum << 8 | u64::from(self.byte(self.at + i)));
        let shift = if self.bit + count == 32 { 0 } else { self.bit };
        let value = (five << shift >> 8) as u32 & (u32::MAX << (32 - count));
        self.advance(count);
        Ok(value)
    }

    /// A length determinant; where a reader is within a byte, that byte is the determinant (kernel
    /// `get_len`).
    fn length(&mut self) -> Result<usize, Fault> {
        self.need(2, 0)?;
        let mut length = self.next();
        if length & 0x80 != 0 {
            length = (length & 0x3f) << 8 | self.next();
        }
        Ok(length as usize)
    }

    /// Passes over something in a length of its own.
    fn skip(&mut self) -> Result<(), Fault> {
        let length = self.wrapped()?;
        self.at += length;
        Ok(())
    }

    /// The length of something that is there as a whole.
    fn wrapped(&mut self) -> Result<usize, Fault> {
        let length = self.length()?;
        self.need(length, 0)?;
        Ok(length)
    }

    /// Reads something in a length of its own if it is kept, and goes on behind it, wherever that reading
    /// ended.
    fn open(&mut self, kind: &Kind, keep: bool, inner: bool) -> Result<Value, Fault> {
        let length = self.wrapped()?;
        if !keep || matches!(kind, Kind::Skip) {
            self.at += length;
            return Ok(Value::Nothing);
        }
        let end = self.at + length;
        let value = self.read(kind, inner)?;
        self.at = end;
        self.bit = 0;
        Ok(value)
    }

    /// The width of a length between bounds: bits if there are few lengths, else whole bytes.
    fn bounded(&mut self, (low, high): Bounds) -> Result<usize, Fault> {
        let length = match high - low {
            0 => 0,
            1..=254 => self.bits(width(high - low + 1))?,
            255 => {
                self.align();
                self.need(1, 0)?;
                self.next()
            }
            _ => {
                self.align();
                self.need(2, 0)?;
                self.next() << 8 | self.next()
            }
        };
        Ok((length + low) as usize)
    }

    fn read(&mut self, kind: &Kind, keep: bool) -> Result<Value, Fault> {
        let mut value = Value::Nothing;
        match kind {
            Kind::Null | Kind::Unread => return Ok(value),
            Kind::Sequence(sequence) => return self.sequence(sequence, keep),
            Kind::Choice(choice) => return self.choice(choice, keep),
            Kind::List(item) => return self.list(item, 0, false, keep),
            Kind::Kept { item, most, open } => return self.list(item, *most, *open, keep),
            Kind::Skip | Kind::Open => {
                self.skip()?;
                return Ok(value);
            }
            Kind::Bool => self.advance(1),
            Kind::Oid => {
                self.align();
                self.need(1, 0)?;
                self.at += 1 + self.byte(self.at) as usize;
            }
            Kind::Integer(low, high) => match high - low {
                range @ 0..=254 => self.advance(width(range + 1)),
                range @ 255..=65535 => {
                    self.align();
                    self.at += if range == 255 { 1 } else { 2 };
                }
                _ => {
                    let length = self.bits(2)? as usize + 1;
                    self.need(length, 0)?;
                    self.align();
                    if keep {
                        let number = (0..length).fold(0u32, |n, _| n << 8 | self.next());
                        value = Value::Number(number.wrapping_add(*low));
                    }
                    self.at += length;
                }
            },
            Kind::AnyInteger | Kind::AnyOctets => {
                self.align();
                self.at += self.length()?;
            }
            Kind::Bits(bounds) => {
                self.align();
                let length = match bounds {
                    Some(bounds) => self.bounded(*bounds)?,
                    None => self.length()?,
                };
                self.advance(length as u32);
            }
            Kind::Digits(low, high) => {
                let length = self.bounded((*low, *high))?;
                self.align();
                self.advance(length as u32 * 4);
            }
            Kind::Octets(length) => {
                if *length > 2 {
                    self.align();
                    if keep {
                        value = Value::Place(self.at);
                    }
                }
                self.at += *length as usize;
            }
            Kind::SomeOctets(low, high) | Kind::Wide(low, high) => {
                let length = self.bounded((*low, *high))?;
                self.align();
                let size = if matches!(kind, Kind::Wide(..)) { 2 } else { 1 };
                self.at += length * size;
            }
        }
        self.need(0, 0)?;
        Ok(value)
    }

    fn sequence(&mut self, sequence: &Sequence, keep: bool) -> Result<Value, Fault> {
        let mut values = Vec::new();
        let done = |values| {
            if keep {
                Value::Sequence(values)
            } else {
                Value::Nothing
            }
        };
        self.need(0, 1)?;
        let extended = sequence.extensible && self.bits(1)? != 0;
        let described = sequence.root.iter().filter(|f| f.optional).count() as u32;
        let hidden = match sequence.rest {
            Rest::UnreadRoot(optional) => Some(optional),
            _ => None,
        };
        let mut present = self.bitmap(described + hidden.unwrap_or(0))?;
        for field in sequence.root {
            if field.optional {
                let there = present & 1 << 31 != 0;
                present <<= 1;
                if !there {
                    continue;
                }
            }
            let value = self.read(&field.kind, keep && field.kept)?;
            if keep && field.kept {
                values.push((field.name, value));
            }
        }
        if hidden.is_some() || !extended {
            return Ok(done(values));
        }
        let count = self.bits(7)? + 1;
        self.need(0, count)?;
        if count > 32 {
            return Err(Fault);
        }
        let bitmap = self.bitmap(count)?;
        self.align();
        for i in 0..count {
            let Some(field) = sequence.more.get(i as usize) else {
                if sequence.rest != Rest::Newer {
                    break;
                }
                self.skip()?;
                continue;
            };
            if bitmap << i & 1 << 31 == 0 {
                continue;
            }
            let keep = keep && field.kept;
            let value = self.open(&field.kind, keep, keep)?;
            if keep {
                values.push((field.name, value));
            }
        }
        Ok(done(values))
    }

    fn list(&mut self, item: &Kind, most: usize, open: bool, keep: bool) -> Result<Value, Fault> {
        self.align();
        let count = self.length()?;
        let mut values = Vec::new();
        for i in 0..count {
            let inner = keep && i < most;
            let value = if open {
                self.align();
                self.open(item, keep, inner)?
            } else {
                self.read(item, inner)?
            };
            if inner {
                values.push(value);
            }
        }
        Ok(if keep {
            Value::List(values)
        } else {
            Value::Nothing
        })
    }

    fn choice(&mut self, choice: &Choice, keep: bool) -> Result<Value, Fault> {
        self.need(0, 1)?;
        let known = choice.root.len() as u32;
        let extended = choice.extensible && self.bits(1)? != 0;
        let field = if extended {
            let index = self.bits(7)? as usize;
            choice.more.get(index)
        } else {
            let index = self.bits(width(known))?;
            Some(choice.root.get(index as usize).ok_or(Fault)?)
        };
        let name = field.map_or("", |f| f.name);
        let value = match field {
            Some(field) if matches!(field.kind, Kind::Unread) => Value::Nothing,
            Some(field) if extended => {
                self.align();
                let keep = keep && field.kept;
                self.open(&field.kind, keep, keep)?
            }
            Some(field) => self.read(&field.kind, keep && field.kept)?,
            None => {
                self.align();
                self.skip()?;
                Value::Nothing
            }
        };
        Ok(if keep {
            Value::Choice(name, Box::new(value))
        } else {
            Value::Nothing
        })
    }
}

/// Bits that tell so many values apart.
const fn width(values: u32) -> u32 {
    if values < 2 {
        0
    } else {
        32 - (values - 1).leading_zeros()
    }
}
