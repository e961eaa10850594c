/// \file
/// Bytes that can be read at any position: a file, or one entry of an archive.
#pragma once

#include "core/run_context.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace convbasis {

/// Immutable; read() may be called from several threads at once.
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  /// What an error about these bytes begins with: a path, and the entry of the archive there if it is one.
  virtual const std::string& name() const = 0;
  virtual std::uint64_t size() const = 0;  ///< bytes, when it was opened
  /// Fills `bytes` from position `offset`. Throws FileError when the source ends before or cannot be read, Cancelled.
  void read(std::uint64_t offset, std::span<std::byte> bytes, const RunContext& context = {}) const;

 protected:
  ByteSource() = default;
  ByteSource(const ByteSource&) = default;
  ByteSource& operator=(const ByteSource&) = default;
  /// The range lies inside and is not empty.
  virtual void read_inside(std::uint64_t offset, std::span<std::byte> bytes, const RunContext& context) const = 0;
};

/// `count` bytes of a source from `offset` on, as text. Throws FileError as read() does.
std::string read_text(const ByteSource& source, std::uint64_t offset, std::uint64_t count);

}  // namespace convbasis
