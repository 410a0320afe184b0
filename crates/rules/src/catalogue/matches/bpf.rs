//! `-m bpf`.

use super::prelude::*;

/// Most instructions (kernel `XT_BPF_MAX_NUM_INSTR`).
const LONGEST: usize = 64;

/// Longest path of a pinned program, in bytes.
const LONGEST_PATH: usize = 511;

/// Words of a program's memory (`BPF_MEMWORDS`).
pub const MEMORY: usize = 16;

/// Offsets from here on are no places in the packet but facts about it (`SKF_AD_OFF`).
pub const ANCILLARY: u32 = 0xffff_f000;

/// One instruction of the classic Berkeley packet filter (`struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How many instructions to leave out if the comparison holds.
    pub jump_true: u8,
    /// How many if it does not.
    pub jump_false: u8,
    /// A number, an offset or a place in memory.
    pub k: u32,
}

/// `-m bpf`: a program says yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bpf {
    /// `--bytecode`: 1 to 64 instructions that the kernel takes: every way through them ends with a return, jumps
    /// go forward only and stay inside, memory is written before it is read.
    Bytecode(Vec<Instruction>),
    /// `--object-pinned`: a program that was loaded into the kernel under this path.
    Pinned(String),
}

impl Spec for Bpf {
    const ROW: Extension = Extension::new(
        "bpf",
        Families::Both,
        "A program of the classic Berkeley packet filter says yes.",
    )
    .options(&[
        opt(
            "bytecode",
            "PROGRAM",
            "as nfbpf_compile and tcpdump -ddd print it",
        )
        .excludes(&["object-pinned"]),
        opt(
            "object-pinned",
            "PATH",
            "of a program in the BPF file system",
        )
        .excludes(&["bytecode"]),
    ])
    .needs(&[Need::Network, Need::Transport, Need::Payload]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        if let Some(path) = loaded.plain("object-pinned", read::limited(LONGEST_PATH))? {
            return Ok(Bpf::Pinned(path));
        }
        let program = loaded.plain("bytecode", program)?;
        program.map(Bpf::Bytecode).ok_or_else(|| {
            let said = "bpf: one of --bytecode or --pinned is required";
            loaded.missing_as("bytecode or --object-pinned", said)
        })
    }

    fn write(&self, out: &mut Out) {
        match self {
            Bpf::Bytecode(program) => {
                let shown = shown(program);
                out.opt("bytecode", format_args!("\"{},{shown}\"", program.len()));
            }
            Bpf::Pinned(path) => out.opt("object-pinned", path),
        }
    }

    /// The real program puts no blank before it, and a zero byte behind a program.
    fn list(&self, out: &mut Out) {
        out.text.push_str("match bpf ");
        match self {
            Bpf::Bytecode(program) => {
                out.text.push_str(&shown(program));
                out.text.push('\0');
            }
            Bpf::Pinned(path) => {
                out.text.push_str("pinned ");
                out.text.push_str(path);
            }
        }
    }
}

/// The instructions with commas between.
fn shown(program: &[Instruction]) -> String {
    let shown: Vec<String> = program
        .iter()
        .map(|i| format!("{} {} {} {}", i.code, i.jump_true, i.jump_false, i.k))
        .collect();
    shown.join(",")
}

/// `length,code jt jf k,...`: numbers wrap at their width and what follows the fourth is not read, as with the
/// real program's `sscanf`.
fn program(text: &str) -> Value<Vec<Instruction>> {
    let example = "as \"1,6 0 0 1\": the number of instructions, then each one's four numbers";
    let length = text
        .split_once(',')
        .and_then(|(length, _)| decimal(length.trim_start()))
        .filter(|(_, rest)| rest.is_empty());
    let Some((length, _)) = length else {
        return Err(Bad::new("the program does not begin with its length")
            .help(example)
            .said("bpf: error parsing program length"));
    };
    let length = usize::from(length as u16);
    if length == 0 || length > LONGEST {
        return Err(Bad::new(format!(
            "the program has {length} instructions; 1 to {LONGEST} are allowed"
        ))
        .said(match length {
            0 => "bpf: illegal zero length program",
            _ => "bpf: number of instructions exceeds maximum",
        }));
    }
    let mut program = Vec::with_capacity(length);
    let mut parts = text.split(',').skip(1).peekable();
    while let Some(part) = parts.next() {
        // A comma may stand at the very end.
        if part.is_empty() && parts.peek().is_none() {
            break;
        }
        if program.len() >= length {
            return Err(Bad::new(format!(
                "there are more instructions than the {length} that the program says"
            ))
            .said("bpf: real program length exceeds the encoded length parameter"));
        }
        let Some(instruction) = instruction(part) else {
            let text = format!("'{part}' is no instruction");
            return Err(Bad::new(text)
                .help("four numbers: code, jump if true, jump if false, k")
                .said(format!("bpf: error at instr {}", program.len())));
        };
        program.push(instruction);
    }
    if program.len() < length {
        return Err(Bad::new(format!(
            "the program says {length} instructions and has {}",
            program.len()
        ))
        .said("bpf: parsed program length is less than the encoded length parameter"));
    }
    check(&program)?;
    Ok(program)
}

/// A decimal number, wrapped, and what follows it.
fn decimal(text: &str) -> Option<(u64, &str)> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let length = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let (digits, rest) = (digits.get(..length)?, digits.get(length..)?);
    if digits.is_empty() {
        return None;
    }
    // Too many digits for 64 bits are the largest number, as with strtoul.
    let value = digits.parse().unwrap_or(u64::MAX);
    Some((
        if negative {
            value.wrapping_neg()
        } else {
            value
        },
        rest,
    ))
}

fn instruction(text: &str) -> Option<Instruction> {
    let mut rest = text;
    let mut numbers = [0u64; 4];
    for number in &mut numbers {
        (*number, rest) = decimal(rest.trim_start())?;
    }
    Some(Instruction {
        code: numbers[0] as u16,
        jump_true: numbers[1] as u8,
        jump_false: numbers[2] as u8,
        k: numbers[3] as u32,
    })
}

/// Codes that the kernel knows (`chk_code_allowed`).
const CODES: [u16; 49] = [
    // Loads into A, into X, stores.
    0x20, 0x28, 0x30, 0x80, 0x40, 0x48, 0x50, 0x00, 0x60, 0x81, 0xb1, 0x01, 0x61, 0x02, 0x03,
    // Arithmetic with K and with X: add, sub, mul, div, or, and, lsh, rsh, neg, mod, xor.
    0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44, 0x4c, 0x54, 0x5c, 0x64, 0x6c, 0x74, 0x7c,
    0x84, 0x94, 0x9c, 0xa4, 0xac, // Between A and X, returns.
    0x07, 0x87, 0x06, 0x16, // Jumps: always, equal, greater, greater or equal, bits set.
    0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d,
];

/// What the kernel refuses (`bpf_check_classic`, `check_load_and_stores`).
fn check(program: &[Instruction]) -> Value<()> {
    let length = program.len();
    let at =
        |i: usize, what: &str| Bad::new(format!("instruction {i} (from 0) {what}")).by_kernel();
    // Memory words that every way to an instruction has written.
    let mut written = vec![u16::MAX; length];
    let mut now = 0u16;
    for (i, instruction) in program.iter().enumerate() {
        let Instruction {
            code,
            jump_true,
            jump_false,
            k,
        } = *instruction;
        if !CODES.contains(&code) {
            return Err(at(i, &format!("has the code {code}, which there is not")));
        }
        if let Some(reaching) = written.get(i) {
            now &= reaching;
        }
        let mut arrives = |target: Option<usize>| {
            match target.and_then(|target| written.get_mut(target)) {
                Some(before) => *before &= now,
                None => return Err(at(i, "jumps out of the program")),
            }
            Ok(())
        };
        let behind = |distance: u32| {
            usize::try_from(distance)
                .ok()
                .and_then(|distance| distance.checked_add(i + 1))
        };
        match code {
            0x34 | 0x94 if k == 0 => return Err(at(i, "divides by 0")),
            0x64 | 0x74 if k >= 32 => return Err(at(i, "shifts by more than 31")),
            0x02 | 0x03 | 0x60 | 0x61 if k as usize >= MEMORY => {
                return Err(at(i, "looks at memory that there is not"));
            }
            0x02 | 0x03 => now |= 1 << k,
            0x60 | 0x61 if now & 1 << k == 0 => {
                return Err(at(i, "reads memory that was not written before"));
            }
            0x20 | 0x28 | 0x30 if k >= ANCILLARY => {
                let fact = k - ANCILLARY;
                if fact > 60 || !fact.is_multiple_of(4) {
                    return Err(at(i, "asks for a fact that there is not"));
                }
            }
            0x05 => {
                arrives(behind(k))?;
                now = u16::MAX;
            }
            0x15 | 0x1d | 0x25 | 0x2d | 0x35 | 0x3d | 0x45 | 0x4d => {
                arrives(behind(u32::from(jump_true)))?;
                arrives(behind(u32::from(jump_false)))?;
                now = u16::MAX;
            }
            _ => {}
        }
    }
    match program.last() {
        Some(last) if matches!(last.code, 0x06 | 0x16) => Ok(()),
        _ => Err(Bad::new("the program does not end with a return").by_kernel()),
    }
}
