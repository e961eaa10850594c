"""Counts how often words follow one another, and writes small new texts from the counts."""

import random
import sys
from collections import defaultdict


class Chain:
    """Remembers for every word which words came next."""

    def __init__(self, seed=0):
        self.next_words = defaultdict(list)
        self.random = random.Random(seed)

    def read(self, text):
        words = text.split()
        for word, follower in zip(words, words[1:]):
            self.next_words[word].append(follower)

    def write(self, first, length):
        words = [first]
        for _ in range(length - 1):
            followers = self.next_words.get(words[-1])
            if not followers:
                break
            words.append(self.random.choice(followers))
        return " ".join(words)


def main(arguments):
    if len(arguments) != 3:
        print("usage: chain.py FILE WORD", file=sys.stderr)
        return 2
    chain = Chain()
    with open(arguments[1], encoding="utf-8") as file:
        chain.read(file.read())
    print(chain.write(arguments[2], length=50))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
