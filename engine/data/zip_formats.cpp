#include "data/zip_formats.h"

#include "data/formats.h"

namespace convbasis {

bool looks_like_zip(std::string_view first_bytes) {
  return first_bytes.starts_with("PK\x03\x04") || first_bytes.starts_with("PK\x05\x06");
}

TensorIndex read_zip(const FileReader& file) {
  const std::vector<ZipEntry> entries = read_zip_directory(file);
  return looks_like_torch(entries) ? read_torch(file, entries) : read_npz(file, entries);
}

}  // namespace convbasis
