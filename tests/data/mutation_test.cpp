// Thousands of damaged files: each must either open and load, or be refused with an error of ours. Run it under
// the sanitizers too: there a wrong read is seen even where it would not crash.
#include "core/errors.h"
#include "core/memory.h"
#include "data/activations.h"
#include "data/pickle.h"
#include "support/archive_bytes.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace convbasis {
namespace {

/// Changes a few bytes, or cuts, doubles or fills a stretch. Half of the changes hit the header, where the decisions are.
std::string mutated(std::string bytes, std::size_t header, std::mt19937_64& random) {
  const auto below = [&](std::size_t count) { return static_cast<std::size_t>(random() % std::max<std::size_t>(count, 1)); };
  const std::string interesting = "0123456789-[]{}():,.\"'\\ \n<>|OfVTF\x80\xff";
  for (std::size_t change = 1 + below(4); change > 0 && !bytes.empty(); --change) {
    const std::size_t at = below(below(2) == 0 ? std::min(header, bytes.size()) : bytes.size());
    switch (below(7)) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ static_cast<char>(1U << below(8)));
        break;
      case 2:
        bytes[at] = interesting[below(interesting.size())];
        break;
      case 3:
        bytes.insert(at, 1, interesting[below(interesting.size())]);
        break;
      case 4:
        bytes.erase(at, 1 + below(8));
        break;
      case 5:
        bytes.insert(at, bytes.substr(at, 1 + below(24)));
        break;
      default:
        bytes.resize(at);
        break;
    }
  }
  return bytes;
}

struct Outcome {
  int opened = 0;
  int refused = 0;
};

/// Opens the file and loads what it claims to have; any other exception than ours fails the test, any crash ends it.
void try_file(const std::filesystem::path& path, const ActivationHints& hints, Outcome& outcome) {
  try {
    const Activations activations = Activations::open({path}, hints);
    for (const LayerInfo& info : activations.layers()) {
      (void)activations.load<float>(info.layer, info.heads - 1);
      (void)activations.load<double>(info.layer, 0, 1);
    }
    ++outcome.opened;
  } catch (const FileError&) {
    ++outcome.refused;
  }
}

/// Loads a head of every layer, and the end of its matrix if it has one.
void try_heads(const std::filesystem::path& path) {
  const Activations activations = Activations::open({path});
  for (const LayerInfo& info : activations.layers()) {
    const HeadTensors<float> head = activations.load<float>(info.layer, info.heads - 1);
    if (!head.matrix) continue;
    Matrix<float> tile(1, std::min<Index>(info.size, 64));
    head.matrix->read(info.size - 1, info.size - tile.cols(), mutable_view(tile));
  }
}

/// Opens the file and reads what it claims to have, tensor by tensor and as heads.
void try_tensors(const std::filesystem::path& path, Outcome& outcome) {
  try {
    const auto file = open_tensor_file(path);
    for (const TensorInfo& tensor : file->tensors()) {
      if (!is_floating(tensor.dtype)) continue;
      std::vector<double> numbers(static_cast<std::size_t>(tensor.element_count()));
      file->read<double>(tensor, 0, numbers);
    }
    ++outcome.opened;
  } catch (const FileError&) {
    ++outcome.refused;
    return;
  }
  try {
    try_heads(path);
  } catch (const FileError&) {
    // No heads in it, or damage inside the numbers.
  }
}

void expect_survived(const std::string& valid, std::size_t header, const ActivationHints& hints) {
  const test::TemporaryFolder folder;
  std::mt19937_64 random(20240508);
  Outcome outcome;
  try_file(folder.write("0", valid), hints, outcome);
  ASSERT_EQ(outcome.opened, 1);
  for (int i = 0; i < 5000; ++i) {
    const std::string bytes = mutated(valid, header, random);
    try {
      try_file(folder.write("0", bytes), hints, outcome);
    } catch (const std::exception& error) {
      FAIL() << "mutation " << i << " threw " << error.what();
    }
  }
  EXPECT_GT(outcome.opened, 100) << "the mutations should also leave files that open";
  EXPECT_GT(outcome.refused, 1000);
}

TEST(Mutations, Safetensors) {
  const std::vector<float> numbers(4 * 6 * 2, 0.5F);
  const std::string data = test::bytes_of_numbers(numbers);
  const std::string valid = test::safetensors_bytes({{"layers.0.q", "F32", {4, 6, 2}, data},
                                                     {"layers.0.k", "F16", {2, 6, 2}, data.substr(0, 48)},
                                                     {"layers.0.v", "BF16", {2, 6, 2}, data.substr(0, 48)}},
                                                    {{"scale", "0.125"}, {"tokens", "[]"}});
  expect_survived(valid, valid.size() - data.size() - 96, {});
}

TEST(Mutations, Npy) {
  ActivationHints hints;
  const std::vector<double> numbers(3 * 5 * 2, 0.5);
  const std::string valid = test::npy_bytes("<f8", {3, 5, 2}, test::bytes_of_numbers(numbers), true);
  hints.query_name = hints.key_name = hints.value_name = "0";  // the one array plays all three
  expect_survived(valid, valid.size() - 240, hints);
}

/// What numpy, PyTorch and safetensors wrote, damaged anywhere.
TEST(Mutations, GoldenFiles) {
  const test::TemporaryFolder folder;
  const std::filesystem::path golden = std::filesystem::path(CONVSCOPE_SOURCE_DIR) / "tests/data/golden/tensors";
  for (const char* shard : {"one.safetensors", "two.safetensors"}) std::filesystem::copy(golden / shard, folder.path() / shard);
  const auto memory = peak_memory();
  std::mt19937_64 random(20240509);
  for (const auto& file : std::filesystem::directory_iterator(golden)) {
    if (file.path().filename() == "golden.json") continue;
    const std::string valid = test::read_all(file.path());
    Outcome outcome;
    for (int i = 0; i < 300; ++i) {
      // The ends of archives hold their directories, the beginnings of other files their headers.
      const std::string bytes =
          valid.starts_with("PK") && i % 2 == 0
              ? valid.substr(0, valid.size() / 2) + mutated(valid.substr(valid.size() / 2), valid.size(), random)
              : mutated(valid, valid.size() / 2, random);
      try {
        try_tensors(folder.write("0", bytes), outcome);
      } catch (const std::exception& error) {
        FAIL() << file.path() << ", mutation " << i << " threw " << error.what();
      }
    }
    EXPECT_GT(outcome.refused, 20) << file.path();
  }
  // No size in a damaged file is believed: nothing is allocated that its bytes cannot fill.
  EXPECT_LT(peak_memory().value_or(0) - memory.value_or(0), std::uint64_t{200} << 20U);
}

/// Damage inside the pickle, with the archive around it whole.
TEST(Mutations, Pickles) {
  using namespace test::pickle;
  const std::string shared = storage("FloatStorage", "0", 12, "cuda:0");
  const std::string one = "(" + tensor(shared, 0, {3, 4}, {4, 1}) + "q\x05h\x05tq\x06";
  const std::string value =
      dict({text("q"), one, text("k"), list({tensor(shared, 1, {2, 3}, {1, 4}), "N", "\x88"}), text("scale"),
            std::string("G\x3f\xc0\x00\x00\x00\x00\x00\x00", 9), text("tokens"), list({text("a"), text("b")})});
  const test::TemporaryFolder folder;
  std::mt19937_64 random(20240510);
  Outcome outcome;
  EXPECT_NO_THROW((void)read_pickle(whole(value), "p"));
  for (int i = 0; i < 10'000; ++i) {
    const std::string bytes = mutated(value, value.size(), random);
    try {
      // Most damage is seen by the machine alone; every fourth goes through a file, to the strides and storages.
      if (i % 4 == 0) {
        try_tensors(folder.write("0", test::torch_bytes(bytes, {{"0", std::string(48, '\1')}})), outcome);
      } else {
        (void)read_pickle(whole(bytes), "p");
        ++outcome.opened;
      }
    } catch (const FileError&) {
      ++outcome.refused;
    } catch (const std::exception& error) {
      FAIL() << "mutation " << i << " threw " << error.what();
    }
  }
  EXPECT_GT(outcome.opened, 100);
  EXPECT_GT(outcome.refused, 1000);
}

TEST(Mutations, EveryTruncation) {
  const test::TemporaryFolder folder;
  const std::string data(16, '\0');
  const std::string safetensors =
      test::safetensors_bytes({{"q", "F32", {2, 2}, data}, {"k", "F32", {2, 2}, data}, {"v", "F32", {2, 2}, data}});
  const std::string npy = test::npy_bytes("<f4", {2, 2}, data);
  test::ZipBytes entry;
  entry.name = "q.npy";
  entry.data = npy;
  entry.deflate = true;
  const std::string npz = test::zip_bytes({entry});
  const std::string pt =
      test::torch_bytes(test::pickle::tensor(test::pickle::storage("FloatStorage", "0", 4), 0, {4}, {1}), {{"0", data}});
  for (const std::string& valid : {safetensors, npy, npz, pt}) {
    for (std::size_t size = 0; size < valid.size(); ++size) {
      EXPECT_THROW(open_tensor_file(folder.write("cut", valid.substr(0, size))), FileError) << size;
    }
    EXPECT_THROW(open_tensor_file(folder.write("long", valid + "x")), FileError);
    EXPECT_NO_THROW(open_tensor_file(folder.write("whole", valid)));
  }
}

}  // namespace
}  // namespace convbasis
