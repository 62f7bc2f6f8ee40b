//! A mistake in a config file: path, line, caret, allowed words.
