#include "window/picture.h"

#include "core/errors.h"
#include "data/npy_writer.h"
#include "gl/gl.h"

#include <png.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace convscope {

namespace {

/// Signature (8 bytes) and the header chunk (25), which has to be the first.
constexpr std::size_t end_of_header = 33;

void append_big_endian(std::string& bytes, std::uint32_t value) {
  for (const unsigned shift : {24U, 16U, 8U, 0U}) bytes += static_cast<char>(value >> shift & 255U);
}

/// The check sum of a PNG chunk: CRC-32 with the reflected polynomial of the standard.
std::uint32_t check_sum(std::string_view bytes) {
  std::uint32_t sum = 0xFFFFFFFFU;
  for (const char c : bytes) {
    sum ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) sum = (sum & 1U) != 0U ? sum >> 1U ^ 0xEDB88320U : sum >> 1U;
  }
  return ~sum;
}

/// A tEXt chunk, or iTXt for text beyond ASCII, as tEXt is Latin-1.
std::string text_chunk(const std::string& keyword, const std::string& text) {
  const bool ascii = std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80U; });
  std::string body = (ascii ? "tEXt" : "iTXt") + keyword;
  body += '\0';
  if (!ascii) body.append(4, '\0');  // not compressed, by method 0, no language, no translated keyword
  body += text;
  std::string chunk;
  append_big_endian(chunk, static_cast<std::uint32_t>(body.size() - 4));  // without the name
  chunk += body;
  append_big_endian(chunk, check_sum(body));
  return chunk;
}

}  // namespace

Picture read_framebuffer(int width, int height) {
  Picture picture{.width = width, .height = height, .rgb = {}};
  const std::size_t line = 3 * static_cast<std::size_t>(width);
  std::vector<std::uint8_t> from_below(line * static_cast<std::size_t>(height));
  glPixelStorei(GL_PACK_ALIGNMENT, 1);
  glReadPixels(0, 0, width, height, GL_RGB, GL_UNSIGNED_BYTE, from_below.data());
  picture.rgb.reserve(from_below.size());
  for (int y = height - 1; y >= 0; --y) {
    const auto first = from_below.begin() + static_cast<std::ptrdiff_t>(line) * y;
    picture.rgb.insert(picture.rgb.end(), first, first + static_cast<std::ptrdiff_t>(line));
  }
  return picture;
}

std::string encode_png(const Picture& picture, const PictureTexts& texts) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width);
  image.height = static_cast<png_uint_32>(picture.height);
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string bytes(size, '\0');
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, picture.rgb.data(), 0, nullptr) == 0) {
    throw convbasis::Error(std::string("the PNG cannot be made: ") + image.message);
  }
  bytes.resize(size);
  std::string chunks;
  for (const auto& [keyword, text] : texts) chunks += text_chunk(keyword, text);
  bytes.insert(end_of_header, chunks);
  return bytes;
}

void write_png(const std::filesystem::path& path, const Picture& picture) {
  convbasis::write_file_atomically(path, encode_png(picture));
}

}  // namespace convscope
