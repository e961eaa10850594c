#include "data/npy_writer.h"

#include "core/errors.h"
#include "core/threads.h"
#include "data/replacement_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace convbasis {
namespace {

static_assert(std::endian::native == std::endian::little, "npy files are written as the numbers lie in memory");

/// All that stands before the numbers.
template <Real T>
std::string npy_header(Index rows, Index columns, bool fortran_order) {
  std::string header = fmt::format("{{'descr': '<f{}', 'fortran_order': {}, 'shape': ({}, {}), }}", sizeof(T),
                                   fortran_order ? "True" : "False", rows, columns);
  // Magic, version and length take 10 bytes; the format wants the data on a multiple of 64, and a newline before them.
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  const std::string length{static_cast<char>(header.size() % 256), static_cast<char>(header.size() / 256)};
  return std::string("\x93NUMPY\x01\x00", 8) + length + header;
}

/// columns[y * rows + x] = block(x, y), in tiles that stay in the cache.
template <Real T>
void transpose(MatrixView<T> block, T* columns, const RunContext& context) {
  constexpr Index tile = 256;
  parallel_for(context, (block.rows() + tile - 1) / tile, [&](Index item, int) {
    const Index first = item * tile;
    const Index count = std::min(tile, block.rows() - first);
    for (Index y = 0; y < block.cols(); ++y) {
      const T* source = block.data() + first * block.outerStride() + y;
      T* target = columns + y * block.rows() + first;
      for (Index x = 0; x < count; ++x) target[x] = source[x * block.outerStride()];
    }
  });
}

}  // namespace

template <Real T>
void write_npy(const std::filesystem::path& path, MatrixView<T> matrix) {
  const std::string header = npy_header<T>(matrix.rows(), matrix.cols(), false);
  ReplacementFile file(path);
  file.write(header.data(), header.size());
  for (Index i = 0; i < matrix.rows(); ++i) {
    file.write(matrix.data() + i * matrix.outerStride(), static_cast<std::size_t>(matrix.cols()) * sizeof(T));
  }
  file.commit();
}

template <Real T>
struct NpyColumnWriter<T>::State {
  State(const std::filesystem::path& path, Index all_rows, Index all_columns)
      : file(path), rows(all_rows), columns(all_columns) {}

  ReplacementFile file;
  Index rows, columns;
  Index written = 0;      // columns
  std::vector<T> buffer;  // some columns, one after the other
  std::jthread flusher;   // has the disk take the last block while the next one is made; ends before the file does
};

template <Real T>
NpyColumnWriter<T>::NpyColumnWriter(const std::filesystem::path& path, Index rows, Index columns)
    : state_(std::make_unique<State>(path, rows, columns)) {
  const std::string header = npy_header<T>(rows, columns, true);
  state_->file.require_room(header.size() + static_cast<std::uint64_t>(rows) * static_cast<std::uint64_t>(columns) * sizeof(T));
  state_->file.write(header.data(), header.size());
}

template <Real T>
NpyColumnWriter<T>::~NpyColumnWriter() = default;
template <Real T>
NpyColumnWriter<T>::NpyColumnWriter(NpyColumnWriter&&) noexcept = default;
template <Real T>
NpyColumnWriter<T>& NpyColumnWriter<T>::operator=(NpyColumnWriter&&) noexcept = default;

template <Real T>
const std::filesystem::path& NpyColumnWriter<T>::temporary() const {
  return state_->file.temporary();
}

template <Real T>
void NpyColumnWriter<T>::append(MatrixView<T> block, const RunContext& context) {
  State& state = *state_;
  if (block.rows() != state.rows || block.cols() > state.columns - state.written) {
    throw InvalidArgument(fmt::format("a block of {} x {} does not fit: {} x {} is left to write", block.rows(), block.cols(),
                                      state.rows, state.columns - state.written));
  }
  if (state.flusher.joinable()) state.flusher.join();
  constexpr Index group = 64 / sizeof(T);                 // columns at a time: a cache line of each row
  constexpr std::size_t piece = (1U << 20U) / sizeof(T);  // numbers between two looks at the stop token
  for (Index first = 0; first < block.cols(); first += group) {
    const Index count = std::min(group, block.cols() - first);
    state.buffer.resize(static_cast<std::size_t>(count * block.rows()));
    transpose<T>({block.data() + first, block.rows(), count, Eigen::OuterStride<>(block.outerStride())}, state.buffer.data(),
                 context);
    for (std::size_t at = 0; at < state.buffer.size(); at += piece) {
      context.check();
      state.file.write(state.buffer.data() + at, std::min(piece, state.buffer.size() - at) * sizeof(T));
    }
  }
  state.written += block.cols();
  state.flusher = std::jthread([&file = state.file](const std::stop_token& stop) { file.flush_recent(stop); });
}

template <Real T>
void NpyColumnWriter<T>::flush() {
  if (state_->flusher.joinable()) state_->flusher.join();
  state_->file.flush();
}

template <Real T>
void NpyColumnWriter<T>::commit() {
  if (state_->written != state_->columns) {
    throw InvalidArgument(
        fmt::format("{} of {} columns have been written; the file needs them all", state_->written, state_->columns));
  }
  flush();
  state_->file.commit();
}

void write_file_atomically(const std::filesystem::path& path, std::string_view contents) {
  ReplacementFile file(path);
  file.write(contents.data(), contents.size());
  file.commit();
}

template void write_npy(const std::filesystem::path&, MatrixView<float>);
template void write_npy(const std::filesystem::path&, MatrixView<double>);
template class NpyColumnWriter<float>;
template class NpyColumnWriter<double>;

}  // namespace convbasis
