//! Packets at the edges of what rules ask for.
