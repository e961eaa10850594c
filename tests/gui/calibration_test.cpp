// The calibration file: what is written is read again, and what is not ours is refused with one line.
#include "state/calibration.h"

#include "core/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

namespace convscope {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class CalibrationFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("calibration-" + std::to_string(std::random_device()()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path file() const { return folder_ / "cache" / "calibration.json"; }
  void write(const std::string& text) const {
    fs::create_directories(file().parent_path());
    std::ofstream(file(), std::ios::binary) << text;
  }
  fs::path folder_;
};

const CalibratedFor here{"1.2.3", "A processor"};

convbasis::CostModel some_model() {
  convbasis::CostModel model;
  model.direct = 0.1 + 0.2;
  model.transform[7] = 1.0 / 3.0;
  model.spectral[2] = 1e-5;
  model.conv_call = 123456.789;
  return model;
}

TEST_F(CalibrationFile, IsReadAsItWasWritten) {
  save_calibration(file(), {here, some_model()});
  const LoadedCalibration loaded = load_calibration(file(), here);
  ASSERT_TRUE(loaded.model.has_value()) << loaded.warning;
  EXPECT_EQ(*loaded.model, some_model()) << "to the last bit";
  EXPECT_EQ(loaded.warning, "");
  save_calibration(file(), {here, {}});
  EXPECT_EQ(load_calibration(file(), here).model, convbasis::CostModel()) << "a later one replaces it";
  EXPECT_EQ(std::distance(fs::directory_iterator(file().parent_path()), {}), 1) << "and nothing stays beside it";
}

TEST_F(CalibrationFile, MissingIsNoWarning) {
  for (const fs::path& path : {file(), fs::path()}) {
    const LoadedCalibration loaded = load_calibration(path, here);
    EXPECT_FALSE(loaded.model.has_value());
    EXPECT_EQ(loaded.warning, "");
  }
}

TEST_F(CalibrationFile, OfAnotherMachineOrVersionIsRefused) {
  save_calibration(file(), {here, some_model()});
  for (const auto& [other, said] :
       {std::pair<CalibratedFor, std::string>{{"1.2.4", here.cpu}, "made by version 1.2.3, this is 1.2.4"},
        {{here.program, "Another"}, "made on the processor A processor, this is Another"}}) {
    const LoadedCalibration loaded = load_calibration(file(), other);
    EXPECT_FALSE(loaded.model.has_value());
    EXPECT_THAT(loaded.warning, HasSubstr(said));
    EXPECT_THAT(loaded.warning, HasSubstr(file().string()));
    EXPECT_THAT(loaded.warning, Not(HasSubstr("\n")));
  }
}

TEST_F(CalibrationFile, BrokenIsRefused) {
  const std::string whole = calibration_text({here, some_model()});
  const auto replaced = [&](const std::string& part, const std::string& by) {
    std::string text = whole;
    const std::size_t at = text.find(part);
    EXPECT_NE(at, std::string::npos) << part;
    return text.replace(at, part.size(), by);
  };
  for (const std::string& text :
       {std::string(), std::string("{}"), std::string("[1, 2]"), std::string("null"), whole.substr(0, whole.size() / 2),
        replaced("\"format\": 1", "\"format\": 2"), replaced("\"direct\"", "\"indirect\""),
        replaced("\"exact\": ", "\"exact\": -"), replaced("\"transform\": [", "\"transform\": [1.0, "),
        replaced("\"spectral\": [", "\"spectral\": [[], "), replaced("\"program\": \"1.2.3\"", "\"program\": 7"),
        replaced("\"recover\": ", "\"recover\": 1e999, \"x\": "), std::string(200000, ' ') + whole,
        std::string("\x00\xff\xfe", 3)}) {
    write(text);
    const LoadedCalibration loaded = load_calibration(file(), here);
    EXPECT_FALSE(loaded.model.has_value()) << text;
    EXPECT_THAT(loaded.warning, HasSubstr("not a calibration of this program"));
  }
  fs::remove(file());
  fs::create_directories(file());
  EXPECT_THAT(load_calibration(file(), here).warning, HasSubstr("not a calibration")) << "a folder";
}

RC_GTEST_PROP(Calibration, AnyCutOrFlippedByteIsReadSafely, (std::size_t place, unsigned char byte)) {
  std::string text = calibration_text({here, some_model()});
  text[place % text.size()] = static_cast<char>(byte);
  if (const auto parsed = parse_calibration(text)) RC_ASSERT(is_plausible(parsed->model));
  text.resize(place % (text.size() - 1));  // without its last line break it is still whole
  RC_ASSERT(!parse_calibration(text).has_value());
}

TEST_F(CalibrationFile, ThatCannotBeWrittenIsAnError) {
  std::ofstream(folder_ / "cache") << "a file, not a folder";
  EXPECT_THROW(save_calibration(file(), {here, {}}), convbasis::FileError);
  EXPECT_THROW(save_calibration({}, {here, {}}), convbasis::FileError);
}

TEST(Calibration, TextHoldsAnyProcessorName) {
  const CalibratedFor odd{"1", "a \"quoted\" \\ name\n\x01"};
  const auto parsed = parse_calibration(calibration_text({odd, {}}));
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->where, odd);
}

}  // namespace
}  // namespace convscope
