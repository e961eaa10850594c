/// \file
/// The errors the engine throws. Each message is one line that says what is wrong, where, and what would be right.
/// The program's edge turns them into exit codes (product page): InvalidArgument 2, FileError 3, anything else 1.
#pragma once

#include <stdexcept>
#include <string>

namespace convbasis {

/// Base of every error that the engine throws on purpose.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A parameter is out of its range (k = 0, T > n, negative eps, shapes that do not fit each other).
class InvalidArgument : public Error {
 public:
  using Error::Error;
};

/// An input file is missing, damaged, or does not hold what was asked of it. The message starts with the path.
class FileError : public Error {
 public:
  FileError(const std::string& path, const std::string& problem) : Error(path + ": " + problem) {}
};

/// The work was stopped by its stop token; no result exists.
class Cancelled : public Error {
 public:
  Cancelled() : Error("cancelled") {}
};

}  // namespace convbasis
