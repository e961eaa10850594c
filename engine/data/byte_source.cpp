#include "data/byte_source.h"

#include "core/errors.h"

#include <fmt/format.h>

namespace convbasis {

void ByteSource::read(std::uint64_t offset, std::span<std::byte> bytes, const RunContext& context) const {
  if (offset > size() || bytes.size() > size() - offset) {
    throw FileError(name(), fmt::format("needs {} bytes at position {}, but it has {} bytes", bytes.size(), offset, size()));
  }
  if (!bytes.empty()) read_inside(offset, bytes, context);
}

std::string read_text(const ByteSource& source, std::uint64_t offset, std::uint64_t count) {
  std::string text(static_cast<std::size_t>(count), '\0');
  source.read(offset, std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace convbasis
