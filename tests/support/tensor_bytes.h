/// \file
/// For tests: the bytes of tensor files, built by hand from the formats' descriptions and not by the code under test.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iterator>
#include <map>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <vector>

namespace convbasis::test {

/// An empty folder that goes away with its contents.
class TemporaryFolder {
 public:
  TemporaryFolder()
      : path_(std::filesystem::temp_directory_path() / ("convscope-test-" + std::to_string(std::random_device{}()))) {
    std::filesystem::create_directories(path_);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }
  /// Writes a file and gives its path.
  std::filesystem::path write(const std::string& name, const std::string& bytes) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::remove(file);  // some file systems wait for the disk when a file is overwritten
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }

 private:
  std::filesystem::path path_;
};

inline std::string read_all(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// Numbers as they lie in memory, which is little-endian on every machine the tests run on.
template <class T>
std::string bytes_of_numbers(std::span<const T> numbers) {
  std::string bytes(numbers.size_bytes(), '\0');
  if (!numbers.empty()) std::memcpy(bytes.data(), numbers.data(), numbers.size_bytes());
  return bytes;
}

template <class T>
std::string bytes_of_numbers(const std::vector<T>& numbers) {
  return bytes_of_numbers(std::span<const T>(numbers));
}

/// The lowest `count` bytes of `number`, lowest first.
inline std::string little_endian(std::uint64_t number, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += static_cast<char>(number >> (8 * i) & 0xFFU);
  return bytes;
}

/// A safetensors file from its header's JSON and its data, right or wrong.
inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
  return little_endian(header.size(), 8) + header + data;
}

/// One tensor of a well-formed safetensors file.
struct TensorBytes {
  std::string name;
  std::string dtype;  ///< "F16", "F32", ...
  std::vector<std::int64_t> shape;
  std::string data;
};

inline std::string joined(const std::vector<std::int64_t>& numbers) {
  std::ostringstream text;
  for (std::size_t i = 0; i < numbers.size(); ++i) text << (i > 0 ? ", " : "") << numbers[i];
  return text.str();
}

/// A well-formed safetensors file. Names and metadata must hold no control characters.
inline std::string safetensors_bytes(const std::vector<TensorBytes>& tensors,
                                     const std::map<std::string, std::string>& metadata = {}) {
  std::ostringstream header;  // std::quoted escapes quotes and backslashes as JSON does
  header << "{\"__metadata__\":{";
  const char* separator = "";
  for (const auto& [name, text] : metadata) {
    header << separator << std::quoted(name) << ":" << std::quoted(text);
    separator = ",";
  }
  header << "}";
  std::string data;
  for (const TensorBytes& tensor : tensors) {
    header << "," << std::quoted(tensor.name) << ":{\"dtype\":" << std::quoted(tensor.dtype) << ",\"shape\":["
           << joined(tensor.shape) << "],\"data_offsets\":[" << data.size() << ",";
    data += tensor.data;
    header << data.size() << "]}";
  }
  header << "}";
  return safetensors_bytes(header.str(), data);
}

/// An npy file of version 1.0 (or `major`.0) from its dict literal and its data, right or wrong.
inline std::string npy_bytes(const std::string& literal, const std::string& data, int major = 1) {
  return "\x93NUMPY" + little_endian(static_cast<std::uint64_t>(major), 2) + little_endian(literal.size(), major == 1 ? 2 : 4) +
         literal + data;
}

/// A well-formed npy file.
inline std::string npy_bytes(const std::string& descr, const std::vector<std::int64_t>& shape, const std::string& data,
                             bool fortran_order = false) {
  return npy_bytes("{'descr': '" + descr + "', 'fortran_order': " + (fortran_order ? "True" : "False") + ", 'shape': (" +
                       joined(shape) + (shape.size() == 1 ? ",), }\n" : "), }\n"),
                   data);
}

}  // namespace convbasis::test
