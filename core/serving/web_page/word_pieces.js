// Texts to token ids as BERT's tokenizer has them; `word_pieces.py` writes the tables.

function makeTokenizer(tables) {
  const ids = new Map(tables.words.map((word, i) => [word, tables.ids ? tables.ids[i] : i]));
  const room = tables.max_length - tables.before.length - tables.after.length;
  const known = new Map();

  // Whether a number lies in one of the ranges: [first, last, first, last, …], ascending.
  function within(ranges, number) {
    let low = 0;
    let high = ranges.length / 2;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ranges[2 * middle + 1] < number) low = middle + 1;
      else high = middle;
    }
    return low < ranges.length / 2 && ranges[2 * low] <= number;
  }

  function normalise(character) {
    const number = character.codePointAt(0);
    if (Object.hasOwn(tables.changed, character)) return tables.changed[character];
    if (within(tables.removed, number)) return "";
    if (within(tables.spaced, number)) return ` ${character} `;
    if (tables.hangul && number >= 0xac00 && number <= 0xd7a3) return character.normalize("NFD");
    return character;
  }

  // What a character becomes: characters, each with what it is.
  function become(character) {
    let parts = known.get(character);
    if (parts === undefined) {
      parts = Array.from(normalise(character), (part) => {
        const number = part.codePointAt(0);
        if (within(tables.spaces, number)) return [part, "space"];
        return [part, within(tables.punctuation, number) ? "punctuation" : "letter"];
      });
      known.set(character, parts);
    }
    return parts;
  }

  function* wordsOf(text) {
    let word = [];
    for (const character of text) {
      for (const [part, kind] of become(character)) {
        if (kind === "letter") {
          word.push(part);
          continue;
        }
        if (word.length) yield word;
        word = [];
        if (kind === "punctuation") yield [part];
      }
    }
    if (word.length) yield word;
  }

  // The longest piece that is known, again and again; a word that leaves a rest is unknown as a whole.
  function piecesOf(word) {
    if (word.length > tables.longest_word) return [tables.unknown];
    const pieces = [];
    let start = 0;
    while (start < word.length) {
      let end = word.length;
      let id;
      for (; end > start; end--) {
        id = ids.get((start ? tables.prefix : "") + word.slice(start, end).join(""));
        if (id !== undefined) break;
      }
      if (id === undefined) return [tables.unknown];
      pieces.push(id);
      start = end;
    }
    return pieces;
  }

  // Special tokens that stand in the text, and what is between them.
  function* partsOf(text) {
    const special = Object.keys(tables.special).sort((a, b) => b.length - a.length);
    if (!special.length) return yield [text, undefined];
    const escaped = special.map((token) => token.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"));
    let start = 0;
    for (const found of text.matchAll(new RegExp(escaped.join("|"), "g"))) {
      yield [text.slice(start, found.index), undefined];
      yield [found[0], tables.special[found[0]]];
      start = found.index + found[0].length;
    }
    yield [text.slice(start), undefined];
  }

  function* tokensOf(text) {
    for (const [part, id] of partsOf(text)) {
      if (id !== undefined) yield id;
      else for (const word of wordsOf(part)) yield* piecesOf(word);
    }
  }

  // Token ids with those of the ends, and whether the end of the text was cut off.
  function encode(text) {
    const tokens = [];
    let cut = false;
    // Half of a surrogate pair is no character.
    for (const token of tokensOf(text.replace(/\p{Cs}/gu, "\ufffd"))) {
      cut = tokens.length === room;
      if (cut) break;
      tokens.push(token);
    }
    return { ids: [...tables.before, ...tokens, ...tables.after], cut };
  }

  return { encode };
}
